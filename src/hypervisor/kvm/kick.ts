import { blockSignal, currentMaskWithout, gettid, SIGRTMIN, signalThread, takeSignal } from '../../base/signal.ts';
import { SystemError } from '../../base/system-error.ts';
import type { KvmVmHandle } from './handle.ts';
import { KVM_SET_SIGNAL_MASK } from './ioctls.ts';
import { kvmIoctl, NativeStruct } from './kvm-ioctl.ts';
import { kvm_run, kvm_signal_mask } from './structs.ts';

const KICK_SIGNAL = SIGRTMIN + 6;
const IMMEDIATE_EXIT = kvm_run.fields.immediate_exit.offset;

/**
 * Gets vCPUs out of KVM_RUN. The kicker sets `immediate_exit`, for a vCPU that is about to enter the guest, and then
 * sends a signal, for one that is inside. The signal is blocked in vCPU threads except within KVM_RUN, so no handler
 * ever runs: the thread takes it from the queue afterwards.
 */
export class Kicks {
  readonly #threads: Int32Array;
  readonly #runSize: number;
  /** The kvm_run mappings of all vCPUs. */
  readonly #run: Uint8Array;

  constructor(vm: KvmVmHandle, run: Uint8Array) {
    this.#threads = new Int32Array(vm.threads);
    this.#runSize = vm.runSize;
    this.#run = run;
  }

  /** From any thread. */
  kick(id: number): void {
    if (id < 0 || id >= this.#threads.length) throw new RangeError(`there is no vCPU ${id}`);
    Atomics.store(this.#run, id * this.#runSize + IMMEDIATE_EXIT, 1);
    const thread = Atomics.load(this.#threads, id);
    if (thread === 0) return;
    try {
      signalThread(thread, KICK_SIGNAL);
    } catch (error) {
      // The thread has just ended: there is nothing left to kick.
      if (!(error instanceof SystemError && error.errno === 'ESRCH')) throw error;
    }
  }

  /** The calling thread will run vCPU `id`. */
  attach(id: number, vcpuFd: number): void {
    blockSignal(KICK_SIGNAL);
    drain(); // of what was meant for a vCPU that this thread ran before
    const mask = currentMaskWithout(KICK_SIGNAL);
    const argument = new NativeStruct(kvm_signal_mask, mask.byteLength);
    argument.set('len', mask.byteLength);
    argument.tail.set(new Uint8Array(mask.buffer, mask.byteOffset, mask.byteLength));
    kvmIoctl(vcpuFd, KVM_SET_SIGNAL_MASK, argument);
    Atomics.store(this.#threads, id, gettid());
  }

  detach(id: number): void {
    Atomics.store(this.#threads, id, 0);
  }

  /**
   * After KVM_RUN was interrupted: whether by a kick, which is used up. A kick that comes meanwhile leaves either the
   * flag or the signal behind, so it is never lost.
   */
  take(id: number): boolean {
    const flagged = Atomics.exchange(this.#run, id * this.#runSize + IMMEDIATE_EXIT, 0) !== 0;
    return drain() || flagged;
  }
}

/** Takes all pending kicks, for real-time signals queue; whether there was one. */
function drain(): boolean {
  let any = false;
  while (takeSignal(KICK_SIGNAL)) any = true;
  return any;
}
