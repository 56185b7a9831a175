import { Worker } from 'node:worker_threads';
import type { Vcpu, VcpuExit, VcpuHandle } from '../../src/hypervisor/hypervisor.ts';

export interface Attach {
  /** URL of the module, and the name of its export, that makes the hypervisor. */
  readonly module: string;
  readonly factory: string;
  readonly handle: VcpuHandle;
}

export interface RunOptions {
  /** Vectors that a PIC outside of the hypervisor has waiting (split irqchip). */
  readonly externalInterrupts?: readonly number[];
}

export interface RunResult {
  readonly exit: VcpuExit;
  /** What the guest wrote to EXIT_PORT; undefined if something else ended the run. */
  readonly code: number | undefined;
  /** What reached the buses, except for EXIT_PORT and MARK_PORT. */
  readonly accesses: readonly string[];
}

export interface Call {
  readonly method: string;
  readonly args: readonly unknown[];
}

export type Reply = { readonly result: unknown } | { readonly error: Error } | { readonly mark: number };

type Methods = Omit<Vcpu, 'id' | 'vm' | 'deterministic' | 'run' | 'close'>;

/** A vCPU on another thread: the methods of Vcpu, each with a promise. */
export type RemoteVcpu = {
  readonly [K in keyof Methods]: (...args: Parameters<Methods[K]>) => Promise<ReturnType<Methods[K]>>;
} & { run(options?: RunOptions): Promise<RunResult> };

/** A worker that runs one vCPU after the other: starting one takes longer than most guests. */
export class VcpuThread {
  readonly #worker = new Worker(new URL('./vcpu-worker.ts', import.meta.url));
  #settle: { resolve(value: unknown): void; reject(error: Error): void } | undefined;
  /** Marks that nobody has waited for yet, and who waits. */
  #marks: number[] = [];
  #waiters: ((mark: number) => void)[] = [];

  constructor() {
    this.#worker.unref();
    this.#worker.on('message', (reply: Reply) => this.#receive(reply));
    this.#worker.on('error', (error) => this.#settle?.reject(error as Error));
  }

  get busy(): boolean {
    return this.#settle !== undefined;
  }

  async attach(target: Attach): Promise<RemoteVcpu> {
    this.#marks = [];
    await this.#call('attach', [target]);
    const call = (method: string, args: unknown[]) => this.#call(method, method === 'run' ? [args[0] ?? {}] : args);
    const methods = {
      get:
        (_: object, method: string) =>
        (...args: unknown[]) =>
          call(method, args),
    };
    // A promise must not take this for one.
    return new Proxy({}, { get: (o, m) => (m === 'then' ? undefined : methods.get(o, String(m))) }) as RemoteVcpu;
  }

  /** The next mark of the guest. */
  mark(): Promise<number> {
    const mark = this.#marks.shift();
    return mark !== undefined ? Promise.resolve(mark) : new Promise((resolve) => this.#waiters.push(resolve));
  }

  close(): Promise<number> {
    return this.#worker.terminate();
  }

  #call(method: string, args: unknown[]): Promise<unknown> {
    if (this.busy) throw new Error(`the vCPU thread is busy, it cannot do ${method}`);
    this.#worker.ref();
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      this.#worker.postMessage({ method, args } satisfies Call);
    });
  }

  #receive(reply: Reply): void {
    if ('mark' in reply) {
      const waiter = this.#waiters.shift();
      if (waiter !== undefined) waiter(reply.mark);
      else this.#marks.push(reply.mark);
      return;
    }
    const settle = this.#settle!;
    this.#settle = undefined;
    this.#worker.unref();
    if ('error' in reply) settle.reject(reply.error);
    else settle.resolve(reply.result);
  }
}
