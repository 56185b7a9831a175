import { CrosvmError } from '../errors.ts';
import type { Gpa, GuestMemory } from '../memory/guest-memory.ts';

/** A file that a loader reads: a kernel, an initrd, a ROM. Parsers see files only through this. */
export interface KernelSource {
  /** What error messages call it: the path that the user gave. */
  readonly name: string;
  /** Length in bytes when it was opened. */
  readonly size: number;
  /**
   * Exactly `length` bytes from `offset`. The caller has checked the range against `size`; throws `E_FILE_CHANGED` if
   * the file has become shorter since.
   */
  readAt(offset: number, length: number): Uint8Array;
  /** Like readAt, to where the bytes shall be: for much at a time. */
  readInto(offset: number, target: Uint8Array): void;
  /** Gives back at once what the source holds, which the collector might do late: tens of megabytes. Nothing is read after. */
  release?(): void;
}

/** A source whose bytes are in memory; after `release` they are gone. */
export function bytesSource(name: string, bytes: Uint8Array): KernelSource {
  return {
    name,
    size: bytes.length,
    readAt(offset, length) {
      if (offset + length > bytes.length) throw fileChanged(name);
      return bytes.subarray(offset, offset + length);
    },
    readInto(offset, target) {
      target.set(this.readAt(offset, target.length));
    },
    release() {
      const { buffer } = bytes;
      const isAll = bytes.length === buffer.byteLength; // small ones may lie in a pool
      if (isAll && buffer instanceof ArrayBuffer) buffer.transfer(0);
    },
  };
}

export function fileChanged(name: string): CrosvmError {
  return new CrosvmError('E_FILE_CHANGED', `${name}: the file became shorter while it was being read`);
}

/** `E_KERNEL_FORMAT`: "NAME: WHAT". */
export function formatError(source: KernelSource, what: string, options?: { cause?: unknown }): CrosvmError {
  return new CrosvmError('E_KERNEL_FORMAT', `${source.name}: ${what}`, options);
}

/** Reads a range that the file itself gave; one that is not within the file is an `E_KERNEL_FORMAT` about `what`. */
export function readChecked(source: KernelSource, offset: number, length: number, what: string): Uint8Array {
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || length > source.size - offset) {
    throw formatError(source, `${what} (${length} bytes at offset ${offset}) is beyond the end of the file`);
  }
  return source.readAt(offset, length);
}

/** Copies part of a file into guest memory; both ranges have been checked. */
export function copyToGuest(source: KernelSource, offset: number, length: number, memory: GuestMemory, gpa: Gpa): void {
  source.readInto(offset, memory.slice(gpa, length));
}

/** `E_KERNEL_MEMORY`: "NAME: WHAT". */
export function memoryError(source: KernelSource, what: string): CrosvmError {
  return new CrosvmError('E_KERNEL_MEMORY', `${source.name}: ${what}`);
}
