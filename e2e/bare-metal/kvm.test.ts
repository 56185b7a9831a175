import { BARE_METAL_CASES } from './cases/index.ts';
import { emulatorLacks, KVM, kvmMissing } from './kvm-target.ts';
import { runCases } from './run-cases.ts';

const noKvm = kvmMissing();

const OUTSIDE = 'with a split irqchip, PIC, IOAPIC and PIT are the business of the machine';

runCases({ ...KVM, name: 'kvm', irqchip: 'kernel', lacks: emulatorLacks }, BARE_METAL_CASES, noKvm);
runCases(
  { ...KVM, name: 'kvm, split irqchip', irqchip: 'split', lacks: { ...emulatorLacks, pic: OUTSIDE, pit: OUTSIDE } },
  BARE_METAL_CASES,
  noKvm,
);
