import { CrosvmError } from '../../errors.ts';

/** What a driver did against the rules of a ring; the queue is unusable from there on. */
export function brokenRing(message: string): CrosvmError {
  return new CrosvmError('E_VIRTQUEUE', message);
}

/** An error as the reason why a queue is broken; one that is no driver's doing is thrown on. */
export function breakage(error: unknown): CrosvmError {
  if (error instanceof CrosvmError) return error;
  throw error;
}
