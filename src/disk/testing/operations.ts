/** What can be done to a disk, as data: so that a test which fails can be made shorter. */
import { bytesList } from '../../memory/bytes-list.ts';
import type { Disk } from '../disk.ts';
import { type DiskModel, SECTOR } from './disk-model.ts';
import type { Random } from './random.ts';

/** Of `sectors` from `sector` on, as many as the disk has; `sector` counts round and round. */
interface Range {
  readonly sector: number;
  readonly sectors: number;
}

export interface Write extends Range {
  readonly kind: 'write';
  readonly value: number;
}

export interface WriteZeroes extends Range {
  readonly kind: 'writeZeroes';
  readonly mayUnmap: boolean;
}

export interface Discard extends Range {
  readonly kind: 'discard';
}

export type Change = Write | WriteZeroes | Discard;

/** Changes a disk and what it should hold. Of a discard, whole multiples of `discardUnit` bytes, which then are zeroes. */
export function applyChange(disk: Disk, model: DiskModel, change: Change, discardUnit: number): void {
  const offset = (change.sector % Math.floor(disk.size / SECTOR)) * SECTOR;
  const length = Math.min(disk.size - offset, change.sectors * SECTOR);
  if (change.kind === 'write') {
    const bytes = new Uint8Array(length).fill(change.value);
    model.write(offset, bytes, length);
    disk.write(offset, bytesList(bytes));
  } else if (change.kind === 'writeZeroes') {
    model.write(offset, undefined, length);
    disk.writeZeroes(offset, length, change.mayUnmap);
  } else {
    const from = Math.ceil(offset / discardUnit) * discardUnit;
    const whole = Math.floor((offset + length - from) / discardUnit) * discardUnit;
    if (whole <= 0) return;
    model.write(from, undefined, whole);
    disk.discard(from, whole);
  }
}

/** A change by a seed, for tests that go through all places at which the same changes could fail. */
export function randomChange(random: Random): Change {
  const sector = random.below(2 ** 30);
  const sectors = 1 + random.below(random.chance(20) ? 200 : 12);
  if (random.chance(70)) return { kind: 'write', sector, sectors, value: 1 + random.below(255) };
  if (random.chance(60)) return { kind: 'writeZeroes', sector, sectors, mayUnmap: random.chance(50) };
  return { kind: 'discard', sector, sectors };
}
