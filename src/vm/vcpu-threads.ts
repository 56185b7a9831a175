/** The worker threads that run a VM's vCPUs, as the main thread sees them. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { CrosvmError } from '../errors.ts';
import type { VcpuStart, VcpuThreadMessage } from './vcpu-worker.ts';

export interface VcpuThreadEvents {
  /** A vCPU found that a serial port takes input again. */
  inputRoom(port: number): void;
  /** A device wants to be looked at earlier than before. */
  rearm(): void;
  /** A thread can not go on; the VM must end. Called at most once for each thread. */
  failed(error: CrosvmError): void;
}

export class VcpuThreads {
  readonly #workers: readonly Worker[];
  /** Settles when all threads are gone. */
  readonly gone: Promise<unknown>;
  /** Settles when every thread is ready to run its vCPU, or has failed. */
  readonly ready: Promise<unknown>;

  constructor(starts: readonly VcpuStart[], events: VcpuThreadEvents) {
    this.#workers = starts.map((start) => startWorker(start, events));
    this.gone = Promise.all(this.#workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve))));
    const ready = this.#workers.map((worker) => Promise.race([readyMessage(worker), onceExit(worker)]));
    this.ready = Promise.all(ready);
  }
}

function onceExit(worker: Worker): Promise<unknown> {
  return new Promise((resolve) => worker.once('exit', resolve));
}

function readyMessage(worker: Worker): Promise<unknown> {
  return new Promise<void>((resolve) => {
    const listener = (message: VcpuThreadMessage) => {
      if (message.type !== 'ready') return;
      worker.off('message', listener);
      resolve();
    };
    worker.on('message', listener);
  });
}
