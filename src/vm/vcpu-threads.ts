/** The worker threads that run a VM's vCPUs, as the main thread sees them. */
import { Worker } from 'node:worker_threads';
import { CrosvmError } from '../errors.ts';
import type { HypervisorChoice } from './hypervisors.ts';
import type { VcpuStart, VcpuThreadMessage } from './vcpu-worker.ts';

/** The last state of a deterministic VM. */
export interface FinalState {
  /** SHA-256 of registers, devices and memory, in hexadecimal. */
  readonly hash: string;
  /** How many instructions the guest has executed. */
  readonly instructions: number;
}

export interface VcpuThreadEvents {
  /** Serial port `num` (1-4) takes input again. */
  inputRoom(num: number): void;
  /** A device wants to be looked at earlier than it said before. */
  rearm(): void;
  /** A thread has something to tell to whoever runs the VM. */
  warning(sentence: string): void;
  /** A deterministic VM has come to its end. */
  ended(state: FinalState): void;
  /** A thread cannot go on, so the VM cannot either. */
  failed(error: CrosvmError): void;
}

/**
 * What the software CPU makes while it decodes and compiles is soon garbage, or stays for long: with more room for what is
 * new, V8 copies less of it.
 */
const YOUNG_GENERATION_MB = 96;

/** Starts one thread for each vCPU; they load their program at once and wait for `launch`. */
export class VcpuThreads {
  readonly #threads: readonly VcpuThread[];

  constructor(hypervisor: HypervisorChoice, cpus: number) {
    this.#threads = Array.from({ length: cpus }, (_, id) => new VcpuThread(hypervisor, id));
  }

  /** Settles when all threads are gone. */
  get gone(): Promise<unknown> {
    return Promise.all(this.#threads.map((thread) => thread.gone));
  }

  /** Tells every thread what to run. Settles when each is ready to, or has failed. */
  async launch(starts: readonly VcpuStart[], events: VcpuThreadEvents): Promise<void> {
    await Promise.all(this.#threads.map((thread, id) => thread.launch(starts[id]!, events)));
  }

  /** Ends the threads of a VM that was not launched; settles when they are gone. */
  async discard(): Promise<void> {
    for (const thread of this.#threads) thread.discard();
    await this.gone;
  }
}

class VcpuThread {
  readonly gone: Promise<void>;
  readonly #worker: Worker;
  readonly #ready = Promise.withResolvers<void>();
  #events: VcpuThreadEvents | undefined;
  #failure: CrosvmError | undefined;
  #launched = false;

  constructor(hypervisor: HypervisorChoice, id: number) {
    const program = new URL('./vcpu-worker-entry.js', import.meta.url);
    const resourceLimits = { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB };
    this.#worker = new Worker(program, { workerData: hypervisor, name: `vcpu${id}`, resourceLimits });
    this.#worker.on('message', (message: VcpuThreadMessage) => this.#handle(message));
    this.#worker.on('error', (cause) => {
      const message = `the thread of vCPU ${id} failed: ${String((cause as Error).stack ?? cause)}`;
      this.#fail(new CrosvmError('E_INTERNAL', message, { cause }));
    });
    this.gone = new Promise((resolve) => this.#worker.once('exit', () => resolve()));
    this.gone.then(() => this.#ready.resolve());
  }

  launch(start: VcpuStart, events: VcpuThreadEvents): Promise<void> {
    this.#launched = true;
    this.#events = events;
    if (this.#failure !== undefined) events.failed(this.#failure);
    this.#worker.postMessage(start);
    return this.#ready.promise;
  }

  /** The thread ends by itself: one that is terminated while it loads native code takes the process with it. */
  discard(): void {
    if (!this.#launched) this.#worker.postMessage(undefined);
  }

  #handle(message: VcpuThreadMessage): void {
    if (message.type === 'ready') this.#ready.resolve();
    else if (message.type === 'rearm') this.#events?.rearm();
    else if (message.type === 'room') this.#events?.inputRoom(message.num);
    else if (message.type === 'warning') this.#events?.warning(message.sentence);
    else if (message.type === 'state') this.#events?.ended(message);
    else this.#fail(new CrosvmError(message.code, message.message));
  }

  #fail(error: CrosvmError): void {
    this.#failure = error;
    this.#events?.failed(error);
  }
}
