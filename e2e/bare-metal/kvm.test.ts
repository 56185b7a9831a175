import { BARE_METAL_CASES } from './cases/index.ts';
import { runCases } from './run-cases.ts';

const module = new URL('../../src/hypervisor/kvm/kvm.ts', import.meta.url).href;
runCases({ name: 'kvm', module, factory: 'kvm', irqchip: 'kernel', lacks: {} }, BARE_METAL_CASES);
