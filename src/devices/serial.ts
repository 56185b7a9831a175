import { sharedStruct } from '../memory/shared-struct.ts';
import { ByteDevice } from './byte-device.ts';
import type { ByteSink, InterruptLine } from './device.ts';

const FIFO_SIZE = 16;
const HOST_RING_SIZE = 4096;
/** A register access takes microseconds, unless the output of one waits for a slow reader. */
const INPUT_PATIENCE_MS = 10;

// Register offsets (TI PC16550D data sheet, table 3); DLL and DLM replace the first two while LCR.DLAB is set.
const RBR_THR = 0;
const IER = 1;
const IIR_FCR = 2;
const LCR = 3;
const MCR = 4;
const LSR = 5;
const MSR = 6;
const SCR = 7;

const IER_RECEIVED_DATA = 0x01;
const IER_THR_EMPTY = 0x02;
const IER_LINE_STATUS = 0x04;
const IER_MODEM_STATUS = 0x08;

const IIR_NONE = 0x01;
const IIR_MODEM_STATUS = 0x00;
const IIR_THR_EMPTY = 0x02;
const IIR_RECEIVED_DATA = 0x04;
const IIR_LINE_STATUS = 0x06;
const IIR_TIMEOUT = 0x0c;
const IIR_FIFOS_ENABLED = 0xc0;

const FCR_ENABLE = 0x01;
const FCR_CLEAR_RECEIVE = 0x02;
const TRIGGER_LEVELS = [1, 4, 8, 14];

const LCR_DLAB = 0x80;
const MCR_OUT2 = 0x08;
const MCR_LOOPBACK = 0x10;

const LSR_DATA_READY = 0x01;
const LSR_OVERRUN = 0x02;
const LSR_TRANSMITTER_EMPTY = 0x60; // THRE and TEMT: what is written is gone at once

const MSR_DELTAS = 0x0f;
const MSR_TERI = 0x04;
const MSR_CONNECTED = 0xb0; // CTS, DSR, DCD: a modem that is always there

export const SerialState = sharedStruct({
  ier: 'u8',
  fcr: 'u8',
  lcr: 'u8',
  mcr: 'u8',
  /** Error bits of LSR; the rest is computed. */
  lineErrors: 'u8',
  msr: 'u8',
  scratch: 'u8',
  divisor: 'u16',
  /** Whether the THR-empty interrupt is pending: set by a transmission, cleared by reading IIR. */
  thrEmpty: 'u8',
  /** Whether the host stopped for want of room in the ring. */
  hostWaits: 'u8',
  fifo: ['u8', FIFO_SIZE],
  fifoHead: 'u8',
  fifoCount: 'u8',
  ring: ['u8', HOST_RING_SIZE],
  ringHead: 'u32',
  ringCount: 'u32',
  /** 0 before the first object attached to the state. */
  initialized: 'u8',
});

export interface SerialDeps {
  readonly interrupt: InterruptLine;
  readonly output: ByteSink;
  /**
   * Called on the thread of a register access, with the lock held, when input has room again after `pushInput` did not
   * take all: pass the news on and return.
   */
  readonly inputRoom?: () => void;
}

/**
 * A 16550A serial port. Output goes to the sink at once, so the transmitter is always empty. Input from the host waits
 * in a ring of 4 KiB behind the receive FIFO, which is refilled as the guest reads: the guest never sees an overrun
 * unless it loops its own output back. The host's bytes come without pauses between them, so data below the trigger
 * level means that the line is idle, and the character time-out is raised at once.
 */
export class Serial extends ByteDevice {
  readonly #state: InstanceType<typeof SerialState>;
  readonly #deps: SerialDeps;
  readonly #out = new Uint8Array(1);

  constructor(state: InstanceType<typeof SerialState>, deps: SerialDeps) {
    super(state.lock);
    this.#state = state;
    this.#deps = deps;
    state.lock.acquire();
    if (state.initialized === 0) this.#reset();
    state.lock.release();
  }

  /**
   * Takes input from the host; returns how many bytes fitted. `inputRoom` is called later if that was not all, unless
   * the port is busy with output that nobody takes: then nothing fits, and the caller has to try again.
   */
  pushInput(bytes: Uint8Array): number {
    const s = this.#state;
    if (!s.lock.tryAcquire(INPUT_PATIENCE_MS)) return 0;
    try {
      const taken = Math.min(bytes.length, HOST_RING_SIZE - s.ringCount);
      for (let i = 0; i < taken; i++) s.ring[(s.ringHead + s.ringCount + i) % HOST_RING_SIZE] = bytes[i]!;
      s.ringCount += taken;
      s.hostWaits = taken < bytes.length ? 1 : 0;
      this.#refill();
      this.#update();
      return taken;
    } finally {
      s.lock.release();
    }
  }

  /** Bytes that `pushInput` would take now. */
  inputSpace(): number {
    return HOST_RING_SIZE - this.#state.ringCount;
  }

  /** Whether the guest wants to be told of input: its driver has opened the port. */
  isListening(): boolean {
    return (this.#state.ier & IER_RECEIVED_DATA) !== 0;
  }

  protected readByte(offset: number): number {
    const s = this.#state;
    const dlab = (s.lcr & LCR_DLAB) !== 0;
    switch (offset) {
      case RBR_THR:
        return dlab ? s.divisor & 0xff : this.#receive();
      case IER:
        return dlab ? s.divisor >> 8 : s.ier;
      case IIR_FCR:
        return this.#readIir();
      case LCR:
        return s.lcr;
      case MCR:
        return s.mcr;
      case LSR:
        return this.#readLsr();
      case MSR:
        return this.#readMsr();
      case SCR:
        return s.scratch;
      default:
        return 0xff;
    }
  }

  protected writeByte(offset: number, value: number): void {
    const s = this.#state;
    const dlab = (s.lcr & LCR_DLAB) !== 0;
    switch (offset) {
      case RBR_THR:
        if (dlab) s.divisor = (s.divisor & 0xff00) | value;
        else this.#transmit(value);
        break;
      case IER:
        if (dlab) s.divisor = (s.divisor & 0xff) | (value << 8);
        else this.#writeIer(value & 0x0f);
        break;
      case IIR_FCR:
        this.#writeFcr(value);
        break;
      case LCR:
        s.lcr = value;
        break;
      case MCR:
        this.#writeMcr(value & 0x1f);
        break;
      case SCR:
        s.scratch = value;
        break;
      default: // LSR and MSR are read-only
        return;
    }
    this.#update();
  }

  #reset(): void {
    const s = this.#state;
    s.divisor = 12; // 9600 baud, as firmware leaves it
    s.msr = MSR_CONNECTED;
    s.initialized = 1;
  }

  #fifoSize(): number {
    return this.#state.fcr & FCR_ENABLE ? FIFO_SIZE : 1;
  }

  #loopback(): boolean {
    return (this.#state.mcr & MCR_LOOPBACK) !== 0;
  }

  #receive(): number {
    const s = this.#state;
    if (s.fifoCount === 0) return 0;
    const byte = s.fifo[s.fifoHead]!;
    s.fifoHead = (s.fifoHead + 1) % FIFO_SIZE;
    s.fifoCount--;
    this.#refill();
    this.#update();
    return byte;
  }

  /** Moves what the host sent into the FIFO; a port in loopback is cut off from the host. */
  #refill(): void {
    const s = this.#state;
    if (this.#loopback()) return;
    while (s.ringCount > 0 && s.fifoCount < this.#fifoSize()) {
      this.#enqueue(s.ring[s.ringHead]!);
      s.ringHead = (s.ringHead + 1) % HOST_RING_SIZE;
      s.ringCount--;
    }
    if (s.hostWaits !== 0 && s.ringCount <= HOST_RING_SIZE / 2) {
      s.hostWaits = 0;
      this.#deps.inputRoom?.();
    }
  }

  #enqueue(byte: number): void {
    const s = this.#state;
    s.fifo[(s.fifoHead + s.fifoCount) % FIFO_SIZE] = byte;
    s.fifoCount++;
  }

  #transmit(value: number): void {
    const s = this.#state;
    if (s.thrEmpty !== 0) {
      // A full transmitter takes its interrupt back until it is empty again, which makes a new edge.
      s.thrEmpty = 0;
      this.#update();
    }
    if (this.#loopback()) {
      if (s.fifoCount < this.#fifoSize()) this.#enqueue(value);
      else s.lineErrors |= LSR_OVERRUN;
    } else {
      this.#out[0] = value;
      this.#deps.output.write(this.#out);
    }
    s.thrEmpty = 1;
  }

  #writeIer(value: number): void {
    const s = this.#state;
    // Enabling the interrupt while the transmitter is empty raises it at once; drivers start sending this way.
    if ((value & IER_THR_EMPTY) !== 0 && (s.ier & IER_THR_EMPTY) === 0) s.thrEmpty = 1;
    s.ier = value;
  }

  #writeFcr(value: number): void {
    const s = this.#state;
    const toggled = ((s.fcr ^ value) & FCR_ENABLE) !== 0;
    s.fcr = value & FCR_ENABLE ? value & 0xc9 : 0; // the other bits need the enable bit, the clear bits clear themselves
    if (toggled || (value & FCR_CLEAR_RECEIVE) !== 0) s.fifoCount = 0;
    this.#refill();
  }

  #writeMcr(value: number): void {
    const s = this.#state;
    const before = this.#modemLines();
    s.mcr = value;
    const after = this.#modemLines();
    const changed = before ^ after;
    // DCTS, DDSR and DDCD on every change; TERI on the trailing edge of RI only.
    let deltas = (changed >> 4) & (MSR_DELTAS & ~MSR_TERI);
    if (before & ~after & 0x40) deltas |= MSR_TERI;
    s.msr = after | (s.msr & MSR_DELTAS) | deltas;
    this.#refill();
  }

  /** MSR bits 4-7. In loopback they are the modem control outputs: RTS to CTS, DTR to DSR, OUT1 to RI, OUT2 to DCD. */
  #modemLines(): number {
    const { mcr } = this.#state;
    if (!this.#loopback()) return MSR_CONNECTED;
    return ((mcr & 0x02) << 3) | ((mcr & 0x01) << 5) | ((mcr & 0x0c) << 4);
  }

  #readLsr(): number {
    const s = this.#state;
    const lsr = LSR_TRANSMITTER_EMPTY | s.lineErrors | (s.fifoCount > 0 ? LSR_DATA_READY : 0);
    if (s.lineErrors !== 0) {
      s.lineErrors = 0;
      this.#update();
    }
    return lsr;
  }

  #readMsr(): number {
    const s = this.#state;
    const { msr } = s;
    if (msr & MSR_DELTAS) {
      s.msr = msr & ~MSR_DELTAS;
      this.#update();
    }
    return msr;
  }

  #readIir(): number {
    const s = this.#state;
    const cause = this.#cause();
    if (cause === IIR_THR_EMPTY) {
      s.thrEmpty = 0;
      this.#update();
    }
    return cause | (s.fcr & FCR_ENABLE ? IIR_FIFOS_ENABLED : 0);
  }

  /** The interrupt of the highest priority (data sheet, table 4). */
  #cause(): number {
    const s = this.#state;
    if (s.ier & IER_LINE_STATUS && s.lineErrors !== 0) return IIR_LINE_STATUS;
    if (s.ier & IER_RECEIVED_DATA && s.fifoCount > 0) {
      return s.fifoCount >= this.#trigger() ? IIR_RECEIVED_DATA : IIR_TIMEOUT;
    }
    if (s.ier & IER_THR_EMPTY && s.thrEmpty !== 0) return IIR_THR_EMPTY;
    if (s.ier & IER_MODEM_STATUS && s.msr & MSR_DELTAS) return IIR_MODEM_STATUS;
    return IIR_NONE;
  }

  #trigger(): number {
    const { fcr } = this.#state;
    return fcr & FCR_ENABLE ? TRIGGER_LEVELS[fcr >> 6]! : 1;
  }

  #update(): void {
    const s = this.#state;
    // OUT2 gates the interrupt on every PC card; loopback disconnects the pin.
    const gated = (s.mcr & (MCR_OUT2 | MCR_LOOPBACK)) === MCR_OUT2;
    this.#deps.interrupt.set(gated && this.#cause() !== IIR_NONE);
  }
}
