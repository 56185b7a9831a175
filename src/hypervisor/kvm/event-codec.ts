/** Between the pending events and run states of our interface and the structs of KVM. */
import type { GuestDebug, MpState, VcpuEvents } from '../hypervisor.ts';
import * as c from './constants.ts';
import type { StructView } from './struct-layout.ts';
import type { kvm_guest_debug, kvm_vcpu_events } from './structs.ts';

type EventsView = StructView<Extract<keyof typeof kvm_vcpu_events.fields, string>>;
type DebugView = StructView<Extract<keyof typeof kvm_guest_debug.fields, string>>;

export function decodeEvents(view: EventsView): VcpuEvents {
  const flag = (name: Parameters<EventsView['get']>[0]) => view.get(name) !== 0;
  return {
    exception: {
      injected: flag('exception.injected'),
      vector: view.get('exception.nr'),
      hasErrorCode: flag('exception.has_error_code'),
      errorCode: view.get('exception.error_code'),
    },
    interrupt: {
      injected: flag('interrupt.injected'),
      vector: view.get('interrupt.nr'),
      soft: flag('interrupt.soft'),
      shadow: view.get('interrupt.shadow'),
    },
    nmi: { injected: flag('nmi.injected'), pending: flag('nmi.pending'), masked: flag('nmi.masked') },
    sipiVector: view.get('sipi_vector'),
  };
}

/** What our interface does not carry (system management mode) is left as the kernel has it. */
export function encodeEvents(view: EventsView, { exception, interrupt, nmi, sipiVector }: VcpuEvents): void {
  view.clear();
  view.set('exception.injected', Number(exception.injected));
  view.set('exception.nr', exception.vector);
  view.set('exception.has_error_code', Number(exception.hasErrorCode));
  view.set('exception.error_code', exception.errorCode);
  view.set('interrupt.injected', Number(interrupt.injected));
  view.set('interrupt.nr', interrupt.vector);
  view.set('interrupt.soft', Number(interrupt.soft));
  view.set('interrupt.shadow', interrupt.shadow);
  view.set('nmi.injected', Number(nmi.injected));
  view.set('nmi.pending', Number(nmi.pending));
  view.set('nmi.masked', Number(nmi.masked));
  view.set('sipi_vector', sipiVector);
  const valid = c.KVM_VCPUEVENT_VALID_NMI_PENDING | c.KVM_VCPUEVENT_VALID_SHADOW;
  view.set('flags', sipiVector === 0 ? valid : valid | c.KVM_VCPUEVENT_VALID_SIPI_VECTOR);
}

const MP_STATES: readonly (readonly [number, MpState])[] = [
  [c.KVM_MP_STATE_RUNNABLE, 'runnable'],
  [c.KVM_MP_STATE_UNINITIALIZED, 'uninitialized'],
  [c.KVM_MP_STATE_INIT_RECEIVED, 'init-received'],
  [c.KVM_MP_STATE_HALTED, 'halted'],
  [c.KVM_MP_STATE_SIPI_RECEIVED, 'sipi-received'],
];

export function decodeMpState(value: number): MpState {
  const entry = MP_STATES.find(([number]) => number === value);
  if (entry === undefined) throw new RangeError(`KVM reports unknown vCPU state ${value}`);
  return entry[1];
}

export function encodeMpState(state: MpState): number {
  return MP_STATES.find(([, name]) => name === state)![0];
}

const MAX_BREAKPOINTS = 4;
/** DR7: bit 10 is always one; G0-G3 are bits 1, 3, 5 and 7; type and length 0 mean execution (SDM vol. 3, 18.2.4). */
const DR7_FIXED = 0x400;
const BREAKPOINT_FIELDS = ['arch.debugreg[0]', 'arch.debugreg[1]', 'arch.debugreg[2]', 'arch.debugreg[3]'] as const;

export function encodeGuestDebug(view: DebugView, debug: GuestDebug | undefined): void {
  view.clear();
  if (debug === undefined) return;
  const { breakpoints, singleStep } = debug;
  if (breakpoints.length > MAX_BREAKPOINTS) throw new RangeError(`the CPU has ${MAX_BREAKPOINTS} hardware breakpoints`);
  let dr7 = DR7_FIXED;
  breakpoints.forEach((address, i) => {
    view.setBig(BREAKPOINT_FIELDS[i]!, address);
    dr7 |= 2 << (2 * i);
  });
  view.set('arch.debugreg[7]', dr7);
  const step = singleStep ? c.KVM_GUESTDBG_SINGLESTEP : 0;
  const stops = breakpoints.length > 0 ? c.KVM_GUESTDBG_USE_HW_BP : 0;
  view.set('control', c.KVM_GUESTDBG_ENABLE | step | stops);
}
