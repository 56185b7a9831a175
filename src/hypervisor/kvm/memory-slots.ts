import { addressOf } from '../../base/ffi.ts';
import type { Gpa, GuestMemory, MemoryLayoutEntry } from '../../memory/guest-memory.ts';
import { KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY } from './constants.ts';
import { KVM_GET_DIRTY_LOG, KVM_SET_USER_MEMORY_REGION } from './ioctls.ts';
import { kvmIoctl, NativeStruct } from './kvm-ioctl.ts';
import { kvm_dirty_log, kvm_userspace_memory_region } from './structs.ts';

const PAGE = 4096;

/** The guest's RAM in KVM's memory slots: slot n is region n. */
export class MemorySlots {
  readonly #vmFd: number;
  readonly #memory: GuestMemory;
  /** KVM_MEM_ flags of each slot. */
  readonly #flags: number[];

  /** Registers all regions; `layout` says which ones the guest may only read. */
  constructor(vmFd: number, memory: GuestMemory, layout: readonly MemoryLayoutEntry[]) {
    this.#vmFd = vmFd;
    this.#memory = memory;
    this.#flags = layout.map((entry) => (entry.readOnly === true ? KVM_MEM_READONLY : 0));
    for (let slot = 0; slot < memory.regions.length; slot++) this.#register(slot);
  }

  setDirtyLog(slot: number, enabled: boolean): void {
    const flags = this.#flags[slot];
    if (flags === undefined) throw new RangeError(`there is no memory region ${slot}`);
    this.#flags[slot] = enabled ? flags | KVM_MEM_LOG_DIRTY_PAGES : flags & ~KVM_MEM_LOG_DIRTY_PAGES;
    this.#register(slot);
  }

  /** Throws `SystemError` (ENOENT) if the log is off. */
  takeDirtyLog(slot: number): Uint8Array {
    const region = this.#memory.regions[slot];
    if (region === undefined) throw new RangeError(`there is no memory region ${slot}`);
    const pages = region.size / PAGE;
    // The kernel writes whole 64-bit words.
    const bitmap = new Uint8Array(Math.ceil(pages / 64) * 8);
    const argument = new NativeStruct(kvm_dirty_log);
    argument.set('slot', slot);
    argument.set('dirty_bitmap', addressOf(bitmap));
    kvmIoctl(this.#vmFd, KVM_GET_DIRTY_LOG, argument);
    return bitmap.subarray(0, Math.ceil(pages / 8));
  }

  #register(slot: number): void {
    setMemorySlot(this.#vmFd, { ...this.#memory.regions[slot]!, slot, flags: this.#flags[slot]! });
  }
}

/** A slot as the kernel knows it; one of size 0 is no more. */
export interface MemorySlot {
  readonly slot: number;
  /** KVM_MEM_ flags. */
  readonly flags: number;
  readonly gpa: Gpa;
  readonly size: number;
  readonly hostAddress: number;
}

/** Throws `SystemError`. */
export function setMemorySlot(vmFd: number, { slot, flags, gpa, size, hostAddress }: MemorySlot): void {
  const argument = new NativeStruct(kvm_userspace_memory_region);
  argument.set('slot', slot);
  argument.set('flags', flags);
  argument.set('guest_phys_addr', gpa);
  argument.set('memory_size', size);
  argument.set('userspace_addr', hostAddress);
  kvmIoctl(vmFd, KVM_SET_USER_MEMORY_REGION, argument);
}
