import { IOAPIC_PINS } from '../arch/x86_64/platform.ts';
import { DwordDevice } from '../devices/dword-device.ts';
import { sharedStruct } from '../memory/shared-struct.ts';
import { DELIVERY_LOWEST_PRIORITY, msiAddress, msiData } from './msi.ts';

const IOREGSEL = 0x00;
const IOWIN = 0x10;
const EOI = 0x40;

const REG_ID = 0x00;
const REG_VERSION = 0x01;
const REG_ARBITRATION = 0x02;
const REG_REDIRECTION = 0x10;

/** Version 0x20: the first with an EOI register. */
const VERSION = 0x20 | ((IOAPIC_PINS - 1) << 16);

const RTE_LOGICAL = 1 << 11;
const RTE_REMOTE_IRR = 1 << 14;
const RTE_LEVEL = 1 << 15;
const RTE_MASKED = 1 << 16;
const RTE_WRITABLE = 0x1_afff;

export const IoapicState = sharedStruct({
  index: 'u8',
  id: 'u8',
  /** Levels of the input wires, a bit for each pin. */
  lines: 'u32',
  redirectionLow: ['u32', IOAPIC_PINS],
  redirectionHigh: ['u32', IOAPIC_PINS],
  initialized: 'u8',
});

export interface IoapicDeps {
  /** Sends a message. Called with the lock held. */
  readonly signalMsi: (address: number, data: number) => void;
  /**
   * What message an unmasked pin sends from now on: a LAPIC in a hypervisor wants to know whose ends of interrupt to
   * report. Called with the lock held.
   */
  readonly onRoute?: (pin: number, address: number, data: number) => void;
  /** A CPU ends the level-triggered interrupt of `pin`, which will look at its wire after this. Called without the lock. */
  readonly onEndOfInterrupt?: (pin: number) => void;
}

/**
 * An I/O APIC of 24 pins (Intel 82093AA data sheet, with the EOI register of later ones). It sends its interrupts as
 * MSIs, as real ones have done since the APIC bus is gone. `setLine` takes logical levels, so the polarity bits of the
 * redirection table change nothing.
 */
export class Ioapic extends DwordDevice {
  readonly #state: InstanceType<typeof IoapicState>;
  readonly #deps: IoapicDeps;

  constructor(state: InstanceType<typeof IoapicState>, deps: IoapicDeps) {
    super();
    this.#state = state;
    this.#deps = deps;
    state.lock.acquire();
    if (state.initialized === 0) {
      state.redirectionLow.fill(RTE_MASKED);
      state.initialized = 1;
    }
    state.lock.release();
  }

  /** Drives input `pin` (0-23). An edge on a masked pin is lost, as on the real one. */
  setLine(pin: number, level: boolean): void {
    if (!(pin >= 0 && pin < IOAPIC_PINS)) return;
    const s = this.#state;
    s.lock.acquire();
    try {
      const bit = 1 << pin;
      const rises = level && (s.lines & bit) === 0;
      s.lines = level ? s.lines | bit : s.lines & ~bit;
      if (this.#isLevel(pin)) this.#serviceLevel(pin);
      else if (rises && (s.redirectionLow[pin]! & RTE_MASKED) === 0) this.#deliver(pin);
    } finally {
      s.lock.release();
    }
  }

  /** A CPU ended level-triggered `vector`: pins that still ask for it send again. */
  endOfInterrupt(vector: number): void {
    const s = this.#state;
    const { onEndOfInterrupt } = this.#deps;
    for (let pin = 0; onEndOfInterrupt !== undefined && pin < IOAPIC_PINS; pin++) {
      if (this.#isInService(pin, vector)) onEndOfInterrupt(pin);
    }
    s.lock.acquire();
    try {
      for (let pin = 0; pin < IOAPIC_PINS; pin++) {
        if (!this.#isInService(pin, vector)) continue;
        s.redirectionLow[pin] = s.redirectionLow[pin]! & ~RTE_REMOTE_IRR;
        this.#serviceLevel(pin);
      }
    } finally {
      s.lock.release();
    }
  }

  protected readRegister(offset: number): number {
    const s = this.#state;
    s.lock.acquire();
    try {
      if (offset === IOREGSEL) return s.index;
      return offset === IOWIN ? this.#readIndexed(s.index) : 0;
    } finally {
      s.lock.release();
    }
  }

  protected writeRegister(offset: number, value: number): void {
    if (offset === EOI) {
      this.endOfInterrupt(value & 0xff);
      return;
    }
    const s = this.#state;
    s.lock.acquire();
    try {
      if (offset === IOREGSEL) s.index = value;
      else if (offset === IOWIN) this.#writeIndexed(s.index, value);
    } finally {
      s.lock.release();
    }
  }

  #readIndexed(index: number): number {
    const s = this.#state;
    switch (index) {
      case REG_ID:
      case REG_ARBITRATION:
        return (s.id << 24) >>> 0;
      case REG_VERSION:
        return VERSION;
      default:
        break;
    }
    const pin = (index - REG_REDIRECTION) >> 1;
    if (pin < 0 || pin >= IOAPIC_PINS) return 0;
    return index & 1 ? s.redirectionHigh[pin]! : s.redirectionLow[pin]!;
  }

  #writeIndexed(index: number, value: number): void {
    const s = this.#state;
    if (index === REG_ID) s.id = (value >>> 24) & 0x0f;
    const pin = (index - REG_REDIRECTION) >> 1;
    if (pin < 0 || pin >= IOAPIC_PINS) return;
    if (index & 1) {
      s.redirectionHigh[pin] = value & 0xff00_0000;
      this.#tellRoute(pin);
      return;
    }
    // Remote IRR survives a write only while the pin stays level-triggered: software clears it by a turn to edge.
    const remoteIrr = value & RTE_LEVEL ? s.redirectionLow[pin]! & RTE_REMOTE_IRR : 0;
    s.redirectionLow[pin] = (value & RTE_WRITABLE) | remoteIrr;
    this.#tellRoute(pin);
    if (this.#isLevel(pin)) this.#serviceLevel(pin);
  }

  #isInService(pin: number, vector: number): boolean {
    const low = this.#state.redirectionLow[pin]!;
    return (low & 0xff) === vector && (low & RTE_REMOTE_IRR) !== 0;
  }

  /** Only fixed and lowest-priority interrupts can be level-triggered; the others are edges whatever the bit says. */
  #isLevel(pin: number): boolean {
    const low = this.#state.redirectionLow[pin]!;
    return (low & RTE_LEVEL) !== 0 && ((low >> 8) & 7) <= DELIVERY_LOWEST_PRIORITY;
  }

  #serviceLevel(pin: number): void {
    const s = this.#state;
    const asks = (s.lines & (1 << pin)) !== 0;
    if (!asks || (s.redirectionLow[pin]! & (RTE_MASKED | RTE_REMOTE_IRR)) !== 0 || !this.#isLevel(pin)) return;
    s.redirectionLow[pin] = s.redirectionLow[pin]! | RTE_REMOTE_IRR;
    this.#deliver(pin);
  }

  #tellRoute(pin: number): void {
    if ((this.#state.redirectionLow[pin]! & RTE_MASKED) !== 0) return;
    this.#deps.onRoute?.(pin, this.#address(pin), this.#data(pin));
  }

  #deliver(pin: number): void {
    this.#deps.signalMsi(this.#address(pin), this.#data(pin));
  }

  #address(pin: number): number {
    const s = this.#state;
    return msiAddress(s.redirectionHigh[pin]! >>> 24, (s.redirectionLow[pin]! & RTE_LOGICAL) !== 0);
  }

  #data(pin: number): number {
    const low = this.#state.redirectionLow[pin]!;
    return msiData(low & 0xff, (low >> 8) & 7, this.#isLevel(pin));
  }
}
