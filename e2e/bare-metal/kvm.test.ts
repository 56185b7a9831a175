import { hasHardwareVirtualization } from '../../src/base/cpu-info.ts';
import { BARE_METAL_CASES } from './cases/index.ts';
import type { Target } from './harness.ts';
import { KVM, kvmMissing } from './kvm-target.ts';
import { runCases } from './run-cases.ts';

const EMULATED = 'this KVM interprets kernel code (the CPU shows neither vmx nor svm), and its interpreter lacks that';

const emulatorLacks: Target['lacks'] = hasHardwareVirtualization()
  ? {}
  : { sse: EMULATED, 'software-interrupts': EMULATED, 'interrupt-window': EMULATED };
const noKvm = kvmMissing();

const OUTSIDE = 'with a split irqchip, PIC, IOAPIC and PIT are the business of the machine';

runCases({ ...KVM, name: 'kvm', irqchip: 'kernel', lacks: emulatorLacks }, BARE_METAL_CASES, noKvm);
runCases(
  { ...KVM, name: 'kvm, split irqchip', irqchip: 'split', lacks: { ...emulatorLacks, pic: OUTSIDE, pit: OUTSIDE } },
  BARE_METAL_CASES,
  noKvm,
);
