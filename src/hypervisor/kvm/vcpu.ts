import { SystemError } from '../../base/system-error.ts';
import type * as h from '../hypervisor.ts';
import { setCpuid } from './cpuid.ts';
import * as events from './event-codec.ts';
import { ExitCounters } from './exit-counters.ts';
import type { KvmVcpuHandle } from './handle.ts';
import * as ioctls from './ioctls.ts';
import { kvmIoctl, NativeStruct } from './kvm-ioctl.ts';
import { getMsrs, setMsrs } from './msrs.ts';
import * as codec from './register-codec.ts';
import { RunLoop } from './run-loop.ts';
import type { StructLayout } from './struct-layout.ts';
import * as s from './structs.ts';
import { KvmVmAccess } from './vm-access.ts';

/** A vCPU of the kernel, on the thread that runs it. */
export class KvmVcpu implements h.Vcpu {
  readonly id: number;
  readonly vm: KvmVmAccess;
  readonly #fd: number;
  readonly #loop: RunLoop;

  constructor(handle: KvmVcpuHandle) {
    const { id, vm } = handle;
    this.id = id;
    this.vm = new KvmVmAccess(vm);
    this.#fd = vm.vcpuFds[id]!;
    const run = this.vm.run.subarray(id * vm.runSize, (id + 1) * vm.runSize);
    this.#loop = new RunLoop(id, this.#fd, run, this.vm.kicks, new ExitCounters(vm.exits, id));
    this.vm.kicks.attach(id, this.#fd);
  }

  run(buses: h.VcpuBuses): h.VcpuExit {
    return this.#loop.run(buses);
  }

  supportedCpuid(): h.CpuidEntry[] {
    return this.vm.supportedCpuid();
  }

  setCpuid(entries: readonly h.CpuidEntry[]): void {
    setCpuid(this.#fd, entries);
  }

  getRegisters(): h.Registers {
    return codec.decodeRegisters(this.#get(ioctls.KVM_GET_REGS, s.kvm_regs));
  }

  setRegisters(registers: h.Registers): void {
    this.#set(ioctls.KVM_SET_REGS, s.kvm_regs, (view) => codec.encodeRegisters(view, registers));
  }

  getSystemRegisters(): h.SystemRegisters {
    return codec.decodeSystemRegisters(this.#get(ioctls.KVM_GET_SREGS, s.kvm_sregs));
  }

  setSystemRegisters(registers: h.SystemRegisters): void {
    this.#set(ioctls.KVM_SET_SREGS, s.kvm_sregs, (view) => codec.encodeSystemRegisters(view, registers));
  }

  getFpu(): h.FpuState {
    return codec.decodeFpu(this.#get(ioctls.KVM_GET_XSAVE, s.kvm_xsave));
  }

  setFpu(state: h.FpuState): void {
    // KVM_SET_FPU would leave MXCSR as it is.
    const area = this.#get(ioctls.KVM_GET_XSAVE, s.kvm_xsave);
    codec.encodeFpu(area, state);
    kvmIoctl(this.#fd, ioctls.KVM_SET_XSAVE, area);
  }

  getMsrs(indices: readonly number[]): h.MsrEntry[] {
    return getMsrs(this.#fd, indices);
  }

  setMsrs(entries: readonly h.MsrEntry[]): void {
    setMsrs(this.#fd, entries);
  }

  getEvents(): h.VcpuEvents {
    return events.decodeEvents(this.#get(ioctls.KVM_GET_VCPU_EVENTS, s.kvm_vcpu_events));
  }

  setEvents(value: h.VcpuEvents): void {
    this.#set(ioctls.KVM_SET_VCPU_EVENTS, s.kvm_vcpu_events, (view) => events.encodeEvents(view, value));
  }

  getMpState(): h.MpState {
    return events.decodeMpState(this.#get(ioctls.KVM_GET_MP_STATE, s.kvm_mp_state).get('mp_state'));
  }

  setMpState(state: h.MpState): void {
    this.#set(ioctls.KVM_SET_MP_STATE, s.kvm_mp_state, (view) => view.set('mp_state', events.encodeMpState(state)));
  }

  getLapic(): Uint8Array {
    return this.#get(ioctls.KVM_GET_LAPIC, s.kvm_lapic_state).raw('regs');
  }

  setLapic(page: Uint8Array): void {
    if (page.length !== s.kvm_lapic_state.size) throw new RangeError(`a LAPIC page has 1024 bytes, not ${page.length}`);
    this.#set(ioctls.KVM_SET_LAPIC, s.kvm_lapic_state, (view) => view.raw('regs').set(page));
  }

  getXcr0(): bigint {
    const xcrs = this.#get(ioctls.KVM_GET_XCRS, s.kvm_xcrs);
    return xcrs.get('nr_xcrs') === 0 ? 1n : xcrs.getBig('xcrs[0].value');
  }

  setXcr0(value: bigint): void {
    this.#set(ioctls.KVM_SET_XCRS, s.kvm_xcrs, (view) => {
      view.set('nr_xcrs', 1);
      view.setBig('xcrs[0].value', value);
    });
  }

  setGuestDebug(debug: h.GuestDebug | undefined): void {
    this.#set(ioctls.KVM_SET_GUEST_DEBUG, s.kvm_guest_debug, (view) => events.encodeGuestDebug(view, debug));
  }

  translate(linear: bigint): number | undefined {
    const argument = new NativeStruct(s.kvm_translation);
    argument.setBig('linear_address', linear);
    kvmIoctl(this.#fd, ioctls.KVM_TRANSLATE, argument);
    return argument.get('valid') === 0 ? undefined : Number(argument.getBig('physical_address'));
  }

  injectNmi(): void {
    kvmIoctl(this.#fd, ioctls.KVM_NMI);
  }

  notePause(): void {
    try {
      kvmIoctl(this.#fd, ioctls.KVM_KVMCLOCK_CTRL);
    } catch (error) {
      // EINVAL says that the guest does not use kvmclock.
      if (!(error instanceof SystemError && error.errno === 'EINVAL')) throw error;
    }
  }

  /** The thread will not run this vCPU again; its state stays with the VM. */
  close(): void {
    this.vm.kicks.detach(this.id);
  }

  #get<N extends string>(request: number, layout: StructLayout<N>): NativeStruct<N> {
    const view = new NativeStruct(layout);
    kvmIoctl(this.#fd, request, view);
    return view;
  }

  #set<N extends string>(request: number, layout: StructLayout<N>, fill: (view: NativeStruct<N>) => void): void {
    const view = new NativeStruct(layout);
    fill(view);
    kvmIoctl(this.#fd, request, view);
  }
}
