/** Stand-ins for a device's surroundings, for unit tests. */
import assert from 'node:assert/strict';
import type { BusDevice } from './bus.ts';
import type { Clock, InterruptLine } from './device.ts';

/** A clock that stands still until it is told otherwise. */
export class ManualClock implements Clock {
  time = 0;
  wall = 0;

  now(): number {
    return this.time;
  }

  wallTime(): number {
    return this.wall;
  }

  /** Moves both clocks on by `ns` nanoseconds. */
  advance(ns: number): void {
    this.time += ns;
    this.wall += ns / 1e6;
  }
}

/** Remembers the level of a wire and how often it rose. */
export class RecordingLine implements InterruptLine {
  level = false;
  rises = 0;

  set(level: boolean): void {
    if (level && !this.level) this.rises++;
    this.level = level;
  }
}

/** Reads `width` bytes, little-endian. */
export function readReg(device: BusDevice, offset: number, width = 1): number {
  const data = new Uint8Array(width);
  device.read(offset, data);
  return data.reduceRight((value, byte) => value * 256 + byte, 0);
}

/** Writes `value` in `width` bytes, little-endian. */
export function writeReg(device: BusDevice, offset: number, value: number, width = 1): void {
  const data = new Uint8Array(width);
  for (let i = 0; i < width; i++) data[i] = Math.floor(value / 256 ** i);
  device.write(offset, data);
}

/** Reads and writes everywhere in [0, length) with every width, also over the end; only asks that nothing throws. */
export function hammer(device: BusDevice, length: number): void {
  for (const width of [1, 2, 4, 8]) {
    for (let offset = 0; offset < length; offset++) {
      for (const byte of [0, 0x55, 0xff]) {
        const data = new Uint8Array(width).fill(byte);
        assert.doesNotThrow(() => device.write(offset, data), `write ${width} at ${offset}`);
        assert.doesNotThrow(() => device.read(offset, data), `read ${width} at ${offset}`);
      }
    }
  }
}
