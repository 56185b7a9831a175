/** The worker threads that run a VM's vCPUs, as the main thread sees them. */
import { Worker } from 'node:worker_threads';
import { CrosvmError } from '../errors.ts';
import type { VcpuStart, VcpuThreadMessage } from './vcpu-worker.ts';

export interface VcpuThreadEvents {
  /** Serial port `num` (1-4) takes input again. */
  inputRoom(num: number): void;
  /** A device wants to be looked at earlier than it said before. */
  rearm(): void;
  /** A thread cannot go on, so the VM cannot either. */
  failed(error: CrosvmError): void;
}

export interface VcpuThreads {
  /** Settles when every thread is ready to run its vCPU, or has failed. */
  readonly ready: Promise<unknown>;
  /** Settles when all threads are gone. */
  readonly gone: Promise<unknown>;
}

export function startVcpuThreads(starts: readonly VcpuStart[], events: VcpuThreadEvents): VcpuThreads {
  const threads = starts.map((start) => startThread(start, events));
  return {
    ready: Promise.all(threads.map((thread) => thread.ready)),
    gone: Promise.all(threads.map((thread) => thread.gone)),
  };
}

function startThread(start: VcpuStart, events: VcpuThreadEvents): { ready: Promise<void>; gone: Promise<void> } {
  const ready = Promise.withResolvers<void>();
  const gone = Promise.withResolvers<void>();
  const { id } = start.handle;
  const worker = new Worker(new URL('./vcpu-worker.ts', import.meta.url), { workerData: start, name: `vcpu${id}` });
  worker.on('message', (message: VcpuThreadMessage) => {
    switch (message.type) {
      case 'ready':
        return ready.resolve();
      case 'rearm':
        return events.rearm();
      case 'room':
        return events.inputRoom(message.num);
      case 'failed':
        return events.failed(new CrosvmError(message.code, message.message));
    }
  });
  worker.on('error', (cause) => {
    const message = `the thread of vCPU ${id} failed: ${String((cause as Error).stack ?? cause)}`;
    events.failed(new CrosvmError('E_INTERNAL', message, { cause }));
  });
  worker.on('exit', () => {
    ready.resolve();
    gone.resolve();
  });
  return { ready: ready.promise, gone: gone.promise };
}
