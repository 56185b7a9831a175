import { CrosvmError } from '../../errors.ts';
import type { MsrEntry } from '../hypervisor.ts';
import { KVM_GET_MSRS, KVM_SET_MSRS } from './ioctls.ts';
import { kvmIoctl, NativeStruct } from './kvm-ioctl.ts';
import { StructView } from './struct-layout.ts';
import { kvm_msr_entry, kvm_msrs } from './structs.ts';

/** The kernel takes fewer than MAX_IO_MSRS (256) in one call. */
const MAX_ENTRIES = 255;

/** Reads MSRs, in the order asked for. Throws `E_MSR` that names the first one that KVM does not have. */
export function getMsrs(vcpuFd: number, indices: readonly number[]): MsrEntry[] {
  const entries = indices.map((index) => ({ index, value: 0n }));
  return inChunks(entries, (chunk) => transfer(vcpuFd, KVM_GET_MSRS, chunk, 'read'));
}

/** Writes MSRs in order. Throws `E_MSR` that names the first one that KVM refuses; those before it are written. */
export function setMsrs(vcpuFd: number, entries: readonly MsrEntry[]): void {
  inChunks(entries, (chunk) => transfer(vcpuFd, KVM_SET_MSRS, chunk, 'set'));
}

function inChunks(entries: readonly MsrEntry[], f: (chunk: readonly MsrEntry[]) => MsrEntry[]): MsrEntry[] {
  const results: MsrEntry[] = [];
  for (let i = 0; i < entries.length; i += MAX_ENTRIES) results.push(...f(entries.slice(i, i + MAX_ENTRIES)));
  return results;
}

function transfer(vcpuFd: number, request: number, entries: readonly MsrEntry[], verb: string): MsrEntry[] {
  const table = new NativeStruct(kvm_msrs, entries.length * kvm_msr_entry.size);
  table.set('nmsrs', entries.length);
  const views = entries.map(({ index, value }, i) => {
    const view = new StructView(kvm_msr_entry, table.tail, i * kvm_msr_entry.size);
    view.set('index', index);
    view.setBig('data', value);
    return view;
  });
  const done = kvmIoctl(vcpuFd, request, table);
  const refused = entries[done];
  if (refused !== undefined) {
    throw new CrosvmError('E_MSR', `KVM cannot ${verb} the MSR 0x${(refused.index >>> 0).toString(16)} of this guest`);
  }
  return views.map((view) => ({ index: view.get('index'), value: view.getBig('data') }));
}
