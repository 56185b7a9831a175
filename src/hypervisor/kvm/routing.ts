import { Lock } from '../../memory/lock.ts';
import type { IrqchipKind, MsiRoute } from '../hypervisor.ts';
import * as c from './constants.ts';
import { KVM_SET_GSI_ROUTING } from './ioctls.ts';
import { kvmIoctl, NativeStruct } from './kvm-ioctl.ts';
import { StructView } from './struct-layout.ts';
import { kvm_irq_routing, kvm_irq_routing_entry } from './structs.ts';

/** KVM's own limit (KVM_MAX_IRQ_ROUTES) is 4096 entries; 40 of them are for the chips. */
export const MAX_GSI = 4056;
const HEADER_WORDS = 2;
/** A route in shared memory: whether it is there, the address's two halves, the data. */
const ROUTE_WORDS = 4;
const TWO32 = 0x1_0000_0000;
const PIC_PINS = 8;

interface ChipPin {
  readonly gsi: number;
  readonly chip: number;
  readonly pin: number;
}

/** The wiring of a PC: GSI n is input n of the IOAPIC, and the first 16 are also those of the PIC pair. */
const CHIP_PINS: readonly ChipPin[] = [
  ...Array.from({ length: 2 * PIC_PINS }, (_, gsi) => ({
    gsi,
    chip: gsi < PIC_PINS ? c.KVM_IRQCHIP_PIC_MASTER : c.KVM_IRQCHIP_PIC_SLAVE,
    pin: gsi % PIC_PINS,
  })),
  ...Array.from({ length: c.KVM_IOAPIC_NUM_PINS }, (_, gsi) => ({ gsi, chip: c.KVM_IRQCHIP_IOAPIC, pin: gsi })),
];

/**
 * Where GSIs lead. The kernel takes the table only as a whole, and routes change on any thread (a guest writes its
 * MSI-X table), so the routes stand in shared memory under a lock.
 */
export class RoutingTable {
  readonly #vmFd: number;
  readonly #irqchip: IrqchipKind;
  readonly #words: Uint32Array;
  readonly #lock: Lock;

  static allocate(): SharedArrayBuffer {
    return new SharedArrayBuffer((HEADER_WORDS + MAX_GSI * ROUTE_WORDS) * 4);
  }

  constructor(vmFd: number, irqchip: IrqchipKind, state: SharedArrayBuffer) {
    this.#vmFd = vmFd;
    this.#irqchip = irqchip;
    this.#words = new Uint32Array(state);
    this.#lock = new Lock(new Int32Array(state, 0, 1));
  }

  /** Routes `gsi` to an MSI, or nowhere. Throws RangeError for a GSI that the in-kernel chips own or none has. */
  setMsi(gsi: number, route: MsiRoute | undefined): void {
    const first = this.#irqchip === 'kernel' ? c.KVM_IOAPIC_NUM_PINS : 0;
    if (!Number.isInteger(gsi) || gsi < first || gsi >= MAX_GSI) {
      throw new RangeError(`GSI ${gsi} cannot have an MSI route (${first} to ${MAX_GSI - 1} can)`);
    }
    this.#lock.acquire();
    try {
      if (this.#store(gsi, route)) this.#commit();
    } finally {
      this.#lock.release();
    }
  }

  /** Returns whether that changed anything. */
  #store(gsi: number, route: MsiRoute | undefined): boolean {
    const at = HEADER_WORDS + gsi * ROUTE_WORDS;
    const words =
      route === undefined
        ? [0, 0, 0, 0]
        : [1, route.address % TWO32, Math.floor(route.address / TWO32), route.data >>> 0];
    if (words.every((word, i) => this.#words[at + i] === word)) return false;
    this.#words.set(words, at);
    return true;
  }

  #commit(): void {
    const words = this.#words;
    const isRouted = (gsi: number) => words[HEADER_WORDS + gsi * ROUTE_WORDS] === 1;
    const routed = Array.from({ length: MAX_GSI }, (_, gsi) => gsi).filter(isRouted);
    const pins = this.#irqchip === 'kernel' ? CHIP_PINS : [];
    const table = new NativeStruct(kvm_irq_routing, (pins.length + routed.length) * kvm_irq_routing_entry.size);
    table.set('nr', pins.length + routed.length);
    let next = 0;
    const entry = () => new StructView(kvm_irq_routing_entry, table.tail, next++ * kvm_irq_routing_entry.size);
    for (const { gsi, chip, pin } of pins) {
      const e = entry();
      e.set('gsi', gsi);
      e.set('type', c.KVM_IRQ_ROUTING_IRQCHIP);
      e.set('u.irqchip.irqchip', chip);
      e.set('u.irqchip.pin', pin);
    }
    for (const gsi of routed) {
      const at = HEADER_WORDS + gsi * ROUTE_WORDS;
      const e = entry();
      e.set('gsi', gsi);
      e.set('type', c.KVM_IRQ_ROUTING_MSI);
      e.set('u.msi.address_lo', words[at + 1]!);
      e.set('u.msi.address_hi', words[at + 2]!);
      e.set('u.msi.data', words[at + 3]!);
    }
    kvmIoctl(this.#vmFd, KVM_SET_GSI_ROUTING, table);
  }
}
