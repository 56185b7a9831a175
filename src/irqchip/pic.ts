import type { BusDevice } from '../devices/bus.ts';
import { ByteDevice } from '../devices/byte-device.ts';
import { sharedStruct } from '../memory/shared-struct.ts';

const MASTER = 0;
const SLAVE = 1;
const CASCADE_PIN = 2;
const SPURIOUS_PIN = 7;
const NO_PIN = -1;

const ICW1 = 0x10;
const ICW1_ICW4_NEEDED = 0x01;
const ICW1_SINGLE = 0x02;
const ICW4_AUTO_EOI = 0x02;
const ICW4_SPECIAL_FULLY_NESTED = 0x10;
const OCW3 = 0x08;
const OCW3_POLL = 0x04;

/** Pins that ELCR can make level-triggered: not the timer, keyboard, cascade, RTC and FPU error. */
const ELCR_MASKS = [0xf8, 0xde];

/** Which initialization command word the next write to the data port is. */
const EXPECT_NONE = 0;
const EXPECT_ICW2 = 2;
const EXPECT_ICW3 = 3;
const EXPECT_ICW4 = 4;

/** Arrays have an element for the master and one for the slave. */
export const PicState = sharedStruct({
  irr: ['u8', 2],
  isr: ['u8', 2],
  imr: ['u8', 2],
  /** Levels of the input wires. */
  lines: ['u8', 2],
  elcr: ['u8', 2],
  vectorBase: ['u8', 2],
  /** The pin of the highest priority. */
  rotation: ['u8', 2],
  expect: ['u8', 2],
  icw1: ['u8', 2],
  icw4: ['u8', 2],
  /** Reads of the command port give ISR instead of IRR. */
  readIsr: ['u8', 2],
  poll: ['u8', 2],
  specialMask: ['u8', 2],
  rotateOnAutoEoi: ['u8', 2],
  /** Level of the master's INT output. */
  output: 'u8',
  initialized: 'u8',
});

/**
 * The pair of 8259A interrupt controllers of a PC (Intel 8259A data sheet) with the edge/level control registers of the
 * PIIX. A request on an edge-triggered pin stays latched when the wire falls, so that a pulse is enough.
 *
 * `onOutput` is called with the lock held whenever the INT output changes. `levelIrqs` are those that firmware would have
 * made level-triggered.
 */
export class Pic {
  readonly #state: InstanceType<typeof PicState>;
  readonly #onOutput: (level: boolean) => void;
  /** Command port (+ 0) and data port (+ 1) of each chip; ELCR of both chips. */
  readonly master: BusDevice;
  readonly slave: BusDevice;
  readonly elcr: BusDevice;

  constructor(
    state: InstanceType<typeof PicState>,
    onOutput: (level: boolean) => void,
    levelIrqs: readonly number[] = [],
  ) {
    this.#state = state;
    this.#onOutput = onOutput;
    state.lock.acquire();
    if (state.initialized === 0) {
      for (const irq of levelIrqs) state.elcr[irq >> 3] = state.elcr[irq >> 3]! | (1 << (irq & 7));
      state.initialized = 1;
    }
    state.lock.release();
    this.master = new ChipPorts(state, this, MASTER);
    this.slave = new ChipPorts(state, this, SLAVE);
    this.elcr = new ElcrPorts(state, this);
  }

  /** Drives input `irq` (0-15; 2 is the cascade and has no wire). */
  setLine(irq: number, level: boolean): void {
    if (!(irq >= 0 && irq < 16) || irq === CASCADE_PIN) return;
    const s = this.#state;
    s.lock.acquire();
    try {
      this.#drive(irq >> 3, irq & 7, level);
      this.update();
    } finally {
      s.lock.release();
    }
  }

  /** Whether INT is asserted. */
  picPending(): boolean {
    return this.#state.output !== 0;
  }

  /** The CPU's interrupt acknowledge cycle: returns the vector, a spurious one (IRQ 7 or 15) if the request is gone. */
  picAcknowledge(): number {
    const s = this.#state;
    s.lock.acquire();
    try {
      const pin = this.#pendingPin(MASTER);
      if (pin === NO_PIN) return s.vectorBase[MASTER]! + SPURIOUS_PIN;
      this.#accept(MASTER, pin);
      let vector = s.vectorBase[MASTER]! + pin;
      if (pin === CASCADE_PIN) {
        const slavePin = this.#pendingPin(SLAVE);
        if (slavePin !== NO_PIN) this.#accept(SLAVE, slavePin);
        vector = s.vectorBase[SLAVE]! + (slavePin === NO_PIN ? SPURIOUS_PIN : slavePin);
      }
      this.update();
      return vector;
    } finally {
      s.lock.release();
    }
  }

  /** Called with the lock held. */
  readPort(chip: number, offset: number): number {
    const s = this.#state;
    if (offset > 1) return 0xff;
    if (s.poll[chip] !== 0) return this.#pollRead(chip);
    if (offset === 1) return s.imr[chip]!;
    return s.readIsr[chip] !== 0 ? s.isr[chip]! : s.irr[chip]!;
  }

  /** Called with the lock held. */
  writePort(chip: number, offset: number, value: number): void {
    if (offset === 0) this.#writeCommand(chip, value);
    else if (offset === 1) this.#writeData(chip, value);
    this.update();
  }

  /** Called with the lock held: a pin that becomes level-triggered follows its wire from now on. */
  writeElcr(chip: number, value: number): void {
    const s = this.#state;
    const elcr = value & ELCR_MASKS[chip]!;
    s.elcr[chip] = elcr;
    s.irr[chip] = (s.irr[chip]! & ~elcr) | (s.lines[chip]! & elcr);
    this.update();
  }

  /** Carries the slave's output to the master and the master's to the CPU. Called with the lock held. */
  update(): void {
    const s = this.#state;
    this.#driveCascade(this.#pendingPin(SLAVE) !== NO_PIN);
    const output = this.#pendingPin(MASTER) === NO_PIN ? 0 : 1;
    if (output === s.output) return;
    s.output = output;
    this.#onOutput(output !== 0);
  }

  #drive(chip: number, pin: number, level: boolean): void {
    const s = this.#state;
    const bit = 1 << pin;
    const rises = level && (s.lines[chip]! & bit) === 0;
    if (level) s.lines[chip] = s.lines[chip]! | bit;
    else s.lines[chip] = s.lines[chip]! & ~bit;
    if ((s.elcr[chip]! & bit) !== 0 && !level) s.irr[chip] = s.irr[chip]! & ~bit;
    else if (rises) s.irr[chip] = s.irr[chip]! | bit;
  }

  /** The slave's request: the master's cascade pin follows it, as long as the slave asks. */
  #driveCascade(level: boolean): void {
    const s = this.#state;
    const bit = 1 << CASCADE_PIN;
    s.irr[MASTER] = level ? s.irr[MASTER]! | bit : s.irr[MASTER]! & ~bit;
  }

  /** 0 for the pin of the highest priority in `mask`, up to 7; 8 if there is none. */
  #priority(chip: number, mask: number): number {
    if (mask === 0) return 8;
    const rotation = this.#state.rotation[chip]!;
    let priority = 0;
    while ((mask & (1 << ((priority + rotation) & 7))) === 0) priority++;
    return priority;
  }

  /** The pin that `chip` asks for now. */
  #pendingPin(chip: number): number {
    const s = this.#state;
    const priority = this.#priority(chip, s.irr[chip]! & ~s.imr[chip]!);
    if (priority === 8) return NO_PIN;
    let inService = s.isr[chip]!;
    if (s.specialMask[chip] !== 0) inService &= ~s.imr[chip]!;
    // In special fully nested mode a further request of the slave interrupts the slave's own service.
    if (chip === MASTER && (s.icw4[chip]! & ICW4_SPECIAL_FULLY_NESTED) !== 0) inService &= ~(1 << CASCADE_PIN);
    return priority < this.#priority(chip, inService) ? (priority + s.rotation[chip]!) & 7 : NO_PIN;
  }

  #accept(chip: number, pin: number): void {
    const s = this.#state;
    const bit = 1 << pin;
    if ((s.icw4[chip]! & ICW4_AUTO_EOI) === 0) s.isr[chip] = s.isr[chip]! | bit;
    else if (s.rotateOnAutoEoi[chip] !== 0) s.rotation[chip] = (pin + 1) & 7;
    if ((s.elcr[chip]! & bit) === 0) s.irr[chip] = s.irr[chip]! & ~bit;
  }

  /** A read after the poll command acknowledges like the CPU would and gives the pin (data sheet, "Poll Command"). */
  #pollRead(chip: number): number {
    this.#state.poll[chip] = 0;
    const pin = this.#pendingPin(chip);
    if (pin === NO_PIN) return SPURIOUS_PIN;
    this.#accept(chip, pin);
    this.update();
    return 0x80 | pin;
  }

  #writeCommand(chip: number, value: number): void {
    if (value & ICW1) this.#initialize(chip, value);
    else if (value & OCW3) this.#writeOcw3(chip, value);
    else this.#writeOcw2(chip, value);
  }

  #initialize(chip: number, value: number): void {
    const s = this.#state;
    s.icw1[chip] = value;
    s.expect[chip] = EXPECT_ICW2;
    s.imr[chip] = 0;
    s.isr[chip] = 0;
    s.irr[chip] = s.lines[chip]! & s.elcr[chip]!;
    s.rotation[chip] = 0;
    s.specialMask[chip] = 0;
    s.readIsr[chip] = 0;
    s.poll[chip] = 0;
    s.icw4[chip] = 0;
    s.rotateOnAutoEoi[chip] = 0;
  }

  #writeOcw3(chip: number, value: number): void {
    const s = this.#state;
    if (value & OCW3_POLL) s.poll[chip] = 1;
    if (value & 0x02) s.readIsr[chip] = value & 1;
    if (value & 0x40) s.specialMask[chip] = (value >> 5) & 1;
  }

  #writeOcw2(chip: number, value: number): void {
    const s = this.#state;
    const level = value & 7;
    switch (value >> 5) {
      case 0b000: // rotate in automatic EOI mode (clear)
      case 0b100: // rotate in automatic EOI mode (set)
        s.rotateOnAutoEoi[chip] = value >> 7;
        break;
      case 0b001: // non-specific EOI
      case 0b101: // rotate on non-specific EOI
        this.#endHighest(chip, value >> 7 !== 0);
        break;
      case 0b011: // specific EOI
      case 0b111: // rotate on specific EOI
        s.isr[chip] = s.isr[chip]! & ~(1 << level);
        if (value >> 7 !== 0) s.rotation[chip] = (level + 1) & 7;
        break;
      case 0b110: // set priority
        s.rotation[chip] = (level + 1) & 7;
        break;
      default: // 0b010: no operation
        break;
    }
  }

  #endHighest(chip: number, rotate: boolean): void {
    const s = this.#state;
    const priority = this.#priority(chip, s.isr[chip]!);
    if (priority === 8) return;
    const pin = (priority + s.rotation[chip]!) & 7;
    s.isr[chip] = s.isr[chip]! & ~(1 << pin);
    if (rotate) s.rotation[chip] = (pin + 1) & 7;
  }

  #writeData(chip: number, value: number): void {
    const s = this.#state;
    const icw1 = s.icw1[chip]!;
    const last = icw1 & ICW1_ICW4_NEEDED ? EXPECT_ICW4 : EXPECT_NONE;
    switch (s.expect[chip]) {
      case EXPECT_ICW2:
        s.vectorBase[chip] = value & 0xf8;
        s.expect[chip] = icw1 & ICW1_SINGLE ? last : EXPECT_ICW3;
        break;
      case EXPECT_ICW3: // the wiring of the cascade is fixed
        s.expect[chip] = last;
        break;
      case EXPECT_ICW4:
        s.icw4[chip] = value;
        s.expect[chip] = EXPECT_NONE;
        break;
      default:
        s.imr[chip] = value;
        break;
    }
  }
}

class ChipPorts extends ByteDevice {
  readonly #pic: Pic;
  readonly #chip: number;

  constructor(state: InstanceType<typeof PicState>, pic: Pic, chip: number) {
    super(state.lock);
    this.#pic = pic;
    this.#chip = chip;
  }

  protected readByte(offset: number): number {
    return this.#pic.readPort(this.#chip, offset);
  }

  protected writeByte(offset: number, value: number): void {
    this.#pic.writePort(this.#chip, offset, value);
  }
}

class ElcrPorts extends ByteDevice {
  readonly #state: InstanceType<typeof PicState>;
  readonly #pic: Pic;

  constructor(state: InstanceType<typeof PicState>, pic: Pic) {
    super(state.lock);
    this.#state = state;
    this.#pic = pic;
  }

  protected readByte(offset: number): number {
    return offset < 2 ? this.#state.elcr[offset]! : 0xff;
  }

  protected writeByte(offset: number, value: number): void {
    if (offset < 2) this.#pic.writeElcr(offset, value);
  }
}
