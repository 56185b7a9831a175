import * as at from '../arch/x86_64/platform.ts';
import { PCI_INTX_IRQS, SCI_IRQ } from '../arch/x86_64/platform.ts';
import type { Bus } from '../devices/bus.ts';
import type { Clock } from '../devices/device.ts';
import type { InterruptController } from '../hypervisor/hypervisor.ts';
import { Ioapic, type IoapicState } from './ioapic.ts';
import { Pic, type PicState } from './pic.ts';
import { Pit, type PitState } from './pit.ts';

/**
 * IRQ 0 is on pin 0, as our tables say, and on pin 2, where firmware that knows PC boards expects it. IRQ 2 is the PICs'
 * cascade, so the pin is free; and a guest unmasks one of the two, while edges on a masked pin are lost.
 */
const SECOND_TIMER_PIN = 2;
const CASCADE_IRQ = 2;

/** Where the interrupt controllers' state lies in shared memory. */
export interface IsaIrqchipStates {
  readonly pic: InstanceType<typeof PicState>;
  readonly pit: InstanceType<typeof PitState>;
  readonly ioapic: InstanceType<typeof IoapicState>;
}

export interface IsaIrqchipDeps {
  readonly clock: Clock;
  /** Where the IOAPIC's messages go. Called with the IOAPIC's lock held. */
  readonly signalMsi: (address: number, data: number) => void;
  /** What an unmasked pin of the IOAPIC sends from now on. Called with the IOAPIC's lock held. */
  readonly onRoute?: (pin: number, address: number, data: number) => void;
  /** As `Ioapic` has it. */
  readonly onEndOfInterrupt?: (pin: number) => void;
  /** The PIC's INT wire. Called with the PIC's lock held. */
  readonly onExtInt: (level: boolean) => void;
  /** Called when the PIT's deadline may have come nearer. */
  readonly rearm?: () => void;
}

/**
 * PIC pair, IOAPIC and PIT, and the wires between them: everything but the local APICs. With those in the kernel this is
 * the split irqchip; `SoftIrqchip` adds its own.
 *
 * Locks are taken in this order: device, PIT, PIC, IOAPIC, LAPIC.
 */
export class IsaIrqchip implements InterruptController {
  readonly pic: Pic;
  readonly pit: Pit;
  readonly ioapic: Ioapic;
  readonly signalMsi: (address: number, data: number) => void;

  constructor(states: IsaIrqchipStates, deps: IsaIrqchipDeps) {
    this.signalMsi = deps.signalMsi;
    this.pic = new Pic(states.pic, deps.onExtInt, [SCI_IRQ, ...PCI_INTX_IRQS]);
    this.ioapic = new Ioapic(states.ioapic, deps);
    const { clock, rearm } = deps;
    const interrupt = { set: (level: boolean) => this.setLine(0, level) };
    this.pit = new Pit(states.pit, rearm === undefined ? { clock, interrupt } : { clock, interrupt, rearm });
  }

  /** Puts the controllers' registers where PCs have them. */
  insertInto(ports: Bus, mmio: Bus): void {
    ports.insert(this.pic.master, at.PIC_MASTER_PORT, 2);
    ports.insert(this.pic.slave, at.PIC_SLAVE_PORT, 2);
    ports.insert(this.pic.elcr, at.PIC_ELCR_PORT, 2);
    ports.insert(this.pit, at.PIT_PORT, at.PIT_LENGTH);
    ports.insert(this.pit.systemControlB, at.SYSTEM_CONTROL_PORT_B, 1);
    mmio.insert(this.ioapic, at.IOAPIC_ADDRESS, at.IOAPIC_LENGTH);
  }

  /** Drives a GSI: 0-15 go to the PIC and the IOAPIC, 16-23 to the IOAPIC alone. */
  setLine(gsi: number, level: boolean): void {
    this.pic.setLine(gsi, level);
    if (gsi === 0) this.ioapic.setLine(SECOND_TIMER_PIN, level);
    if (gsi !== CASCADE_IRQ) this.ioapic.setLine(gsi, level);
  }
}
