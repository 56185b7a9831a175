import * as c from './constants.ts';
import { StructView } from './struct-layout.ts';
import { kvm_run } from './structs.ts';

const SUBERRORS: Readonly<Record<number, string>> = {
  [c.KVM_INTERNAL_ERROR_EMULATION]: 'an instruction that KVM cannot emulate',
  [c.KVM_INTERNAL_ERROR_SIMUL_EX]: 'two exceptions at once',
  [c.KVM_INTERNAL_ERROR_DELIVERY_EV]: 'an exit while an event was delivered',
  [c.KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON]: 'an exit of the CPU that KVM does not know',
};

/** More than this is not for a message; the field has room for 16. */
const MAX_DATA = 6;

/** In one sentence, why KVM cannot go on, from the kvm_run of a vCPU that left with such an exit. */
export function describeFailure(run: Uint8Array): string {
  const view = new StructView(kvm_run, run);
  const reason = view.get('exit_reason');
  switch (reason) {
    case c.KVM_EXIT_FAIL_ENTRY:
      return `the CPU refuses to enter the guest, reason 0x${view.getBig('fail_entry.hardware_entry_failure_reason').toString(16)}`;
    case c.KVM_EXIT_UNKNOWN:
      return `the CPU left the guest for unknown reason 0x${view.getBig('hw.hardware_exit_reason').toString(16)}`;
    case c.KVM_EXIT_INTERNAL_ERROR:
      return internalError(view);
    default:
      return `KVM left the guest for reason ${reason}, which we cannot handle`;
  }
}

function internalError(view: StructView<keyof typeof kvm_run.fields>): string {
  const suberror = view.get('internal.suberror');
  const count = Math.min(view.get('internal.ndata'), MAX_DATA);
  const what = `KVM met ${SUBERRORS[suberror] ?? 'an internal error'} (suberror ${suberror})`;
  const hasBytes =
    suberror === c.KVM_INTERNAL_ERROR_EMULATION &&
    count >= 3 &&
    (view.getBig('emulation_failure.flags') & BigInt(c.KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES)) !== 0n;
  if (hasBytes) {
    const length = Math.min(view.get('emulation_failure.insn_size'), 15);
    return `${what}: ${hex(view.raw('emulation_failure.insn_bytes').subarray(0, length))}`;
  }
  const data = new DataView(view.bytes.buffer, view.bytes.byteOffset + kvm_run.fields['internal.data'].offset);
  const words = Array.from({ length: count }, (_, i) => `0x${data.getBigUint64(i * 8, true).toString(16)}`);
  return words.length === 0 ? what : `${what}, data ${words.join(' ')}`;
}

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
}
