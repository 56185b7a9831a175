import { CrosvmError } from '../../errors.ts';
import type { CompositeIndex } from './composite-index.ts';
import { buildGpt, GPT_END_SECTORS, GPT_START_SECTORS, MAX_PARTITIONS, SECTOR } from './gpt.ts';

/** Where partitions begin, and what a disk's size is a multiple of. */
const PARTITION_ALIGNMENT = 4096;
const DISK_ALIGNMENT = 65536;

/** An image that becomes a partition. */
export interface PartitionImage {
  readonly label: string;
  /** As the index shall call it. */
  readonly path: string;
  /** Bytes of the disk in it. */
  readonly size: number;
  readonly writable: boolean;
  readonly type: string;
  readonly guid: string;
}

/** The files that make up a new composite disk, beside the images. */
export interface CompositeLayout {
  readonly index: CompositeIndex;
  readonly header: Uint8Array;
  readonly footer: Uint8Array;
  /** Zeroes between partitions. */
  readonly fillerBytes: number;
}

/** Lays out a disk with one partition for each image. Throws `E_DISK_OPTION`. */
export function layOutComposite(
  images: readonly PartitionImage[],
  names: { readonly header: string; readonly footer: string; readonly filler: string },
  diskGuid: string,
): CompositeLayout {
  check(images);
  const components: CompositeIndex['components'][number][] = [{ path: names.header, offset: 0, writable: false }];
  const partitions = [];
  let end = alignUp(GPT_START_SECTORS * SECTOR, PARTITION_ALIGNMENT);
  const headerBytes = end;
  for (const image of images) {
    const length = alignUp(image.size, PARTITION_ALIGNMENT);
    components.push({ path: image.path, offset: end, writable: image.writable });
    if (length > image.size) components.push({ path: names.filler, offset: end + image.size, writable: false });
    partitions.push({ ...image, offset: end, length });
    end += length;
  }
  const size = alignUp(end + GPT_END_SECTORS * SECTOR, DISK_ALIGNMENT);
  const footerAt = size - GPT_END_SECTORS * SECTOR;
  if (footerAt > end) components.push({ path: names.filler, offset: end, writable: false });
  components.push({ path: names.footer, offset: footerAt, writable: false });
  const { start, end: footer } = buildGpt(size, diskGuid, partitions);
  const header = new Uint8Array(headerBytes);
  header.set(start);
  return { index: { length: size, components }, header, footer, fillerBytes: DISK_ALIGNMENT };
}

function check(images: readonly PartitionImage[]): void {
  const fail = (why: string) => new CrosvmError('E_DISK_OPTION', why);
  if (images.length === 0) throw fail('a composite disk needs a partition');
  if (images.length > MAX_PARTITIONS) throw fail(`${images.length} partitions are more than ${MAX_PARTITIONS}`);
  const labels = new Set<string>();
  for (const { label, path, size, writable } of images) {
    if (labels.has(label)) throw fail(`two partitions have the label ${JSON.stringify(label)}`);
    labels.add(label);
    if (size === 0) throw fail(`${path}: is empty`);
    if (writable && size % PARTITION_ALIGNMENT !== 0) {
      throw fail(`${path}: a writable partition must have a multiple of ${PARTITION_ALIGNMENT} bytes, not ${size}`);
    }
  }
}

function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}
