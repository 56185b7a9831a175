import { type Disk, Extent, type ExtentKind } from '../disk.ts';

/** A stretch of a disk of one kind, in one place. */
export interface MapEntry {
  readonly start: number;
  length: number;
  readonly kind: ExtentKind;
  /** Which image of the backing chain has it: 0 is the disk itself. */
  readonly depth: number;
  /** Whether an image says so, or none says anything. */
  readonly allocated: boolean;
  /** For 'data': in which file, and where. */
  readonly file: string | undefined;
  readonly offset: number | undefined;
}

/** All stretches of a disk, in order. */
export function* mapDisk(disk: Disk): Generator<MapEntry> {
  const extent = new Extent();
  let last: MapEntry | undefined;
  for (let start = 0; start < disk.size; start += extent.length) {
    disk.locate(start, disk.size - start, extent);
    const { kind, depth, allocated, length } = extent;
    const file = kind === 'data' ? extent.store?.name : undefined;
    const offset = kind === 'data' ? extent.offset : undefined;
    if (last !== undefined && continues(last, { start, length, kind, depth, allocated, file, offset })) {
      last.length += length;
      continue;
    }
    if (last !== undefined) yield last;
    last = { start, length, kind, depth, allocated, file, offset };
  }
  if (last !== undefined) yield last;
}

function continues(a: MapEntry, b: MapEntry): boolean {
  if (a.kind !== b.kind || a.depth !== b.depth || a.allocated !== b.allocated || a.file !== b.file) return false;
  return a.offset === undefined || a.offset + a.length === b.offset;
}
