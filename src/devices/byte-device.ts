import type { Lock } from '../memory/lock.ts';
import type { BusDevice } from './bus.ts';

/**
 * A device whose registers are bytes. Accesses of every width become single-byte accesses at ascending offsets, as an
 * ISA bridge makes of them, all under one hold of the lock. Subclasses answer for every offset: reads of offsets that
 * they do not have give 0xff, writes are swallowed.
 */
export abstract class ByteDevice implements BusDevice {
  protected readonly lock: Lock;

  constructor(lock: Lock) {
    this.lock = lock;
  }

  read(offset: number, data: Uint8Array): void {
    this.lock.acquire();
    try {
      for (let i = 0; i < data.length; i++) data[i] = this.readByte(offset + i);
    } finally {
      this.lock.release();
    }
  }

  write(offset: number, data: Uint8Array): void {
    this.lock.acquire();
    try {
      for (let i = 0; i < data.length; i++) this.writeByte(offset + i, data[i]!);
    } finally {
      this.lock.release();
    }
  }

  /** Called with the lock held. */
  protected abstract readByte(offset: number): number;
  /** Called with the lock held; `value` is 0-255. */
  protected abstract writeByte(offset: number, value: number): void;
}
