import type { ByteStore } from '../byte-store.ts';
import type { Header } from '../qcow2/header.ts';
import { ImageFile } from '../qcow2/image-file.ts';
import { COMPATIBLE_LAZY_REFCOUNTS, INCOMPATIBLE_CORRUPT, INCOMPATIBLE_DIRTY } from '../qcow2/layout.ts';
import { readHeader } from '../qcow2/open.ts';
import { readSnapshots, type Snapshot } from '../qcow2/snapshot-table.ts';

/** What a qcow2 image says of itself. */
export interface Qcow2Info {
  readonly header: Header;
  readonly clusterSize: number;
  readonly refcountBits: number;
  readonly extendedL2: boolean;
  readonly lazyRefcounts: boolean;
  readonly dirty: boolean;
  readonly corrupt: boolean;
  readonly snapshots: readonly Snapshot[];
}

/** Reads what a qcow2 image says of itself, without the files that it refers to. */
export function qcow2Info(store: ByteStore): Qcow2Info {
  const header = readHeader(store);
  const image = new ImageFile(store, header);
  return {
    header,
    clusterSize: image.clusterSize,
    refcountBits: 2 ** header.refcountOrder,
    extendedL2: image.extended,
    lazyRefcounts: (header.compatible & COMPATIBLE_LAZY_REFCOUNTS) !== 0,
    dirty: (header.incompatible & INCOMPATIBLE_DIRTY) !== 0,
    corrupt: (header.incompatible & INCOMPATIBLE_CORRUPT) !== 0,
    snapshots: readSnapshots(image).snapshots,
  };
}
