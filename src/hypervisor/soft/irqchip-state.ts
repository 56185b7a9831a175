/** The state of a software VM's interrupt controllers, in one buffer that its threads share. */
import { IoapicState } from '../../irqchip/ioapic.ts';
import { LapicState } from '../../irqchip/lapic-state.ts';
import { PicState } from '../../irqchip/pic.ts';
import { PitState } from '../../irqchip/pit.ts';
import type { SoftIrqchipStates } from '../../irqchip/soft-irqchip.ts';

export function createIrqchipState(cpus: number): SharedArrayBuffer {
  const single = PicState.byteLength + PitState.byteLength + IoapicState.byteLength;
  return new SharedArrayBuffer(single + cpus * LapicState.byteLength);
}

export function irqchipStates(buffer: SharedArrayBuffer, cpus: number): SoftIrqchipStates {
  const pit = PicState.byteLength;
  const ioapic = pit + PitState.byteLength;
  const lapics = ioapic + IoapicState.byteLength;
  return {
    pic: new PicState(buffer, 0),
    pit: new PitState(buffer, pit),
    ioapic: new IoapicState(buffer, ioapic),
    lapics: Array.from({ length: cpus }, (_, id) => new LapicState(buffer, lapics + id * LapicState.byteLength)),
  };
}
