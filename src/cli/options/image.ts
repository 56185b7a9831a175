/** Options that the commands on disk images share. */
import { DISK_FORMATS } from '../../disk/disk.ts';
import { TRUST_WORDS } from '../../disk/image-trust.ts';
import { PREALLOCATIONS } from '../../disk/qcow2/preallocate.ts';
import { flag, list, value } from './option.ts';
import { choice, integer, type KeyValues, keyValues, mapped, optional, size, text } from './syntax.ts';

const SECTION = 'Image';

const formatSyntax = choice(...DISK_FORMATS);

/** How an existing image is opened. */
export const imageOptions = {
  format: value({
    short: 'f',
    section: SECTION,
    syntax: formatSyntax,
    help: "The image's format, which is otherwise told by its contents.",
  }),
  allow: list({
    section: SECTION,
    syntax: choice(...TRUST_WORDS),
    help:
      'What an image that you trust may do: have backing files outside of its folder (outside), have the format of its ' +
      'backing file guessed (probe), keep its data in another file (data-file).',
  }),
};

export const jsonOption = { json: flag({ section: 'Output', help: 'Print JSON.' }) };

const onOff = mapped(choice('on', 'off'), (word) => word === 'on');

/** What a new qcow2 image is like, in the words of other tools. */
const qcow2Keys = {
  compat: optional(
    mapped(choice('0.10', '1.1'), (compat): 2 | 3 => (compat === '1.1' ? 3 : 2)),
    'Version of the format: 0.10 is version 2, 1.1 (which it is otherwise) version 3.',
  ),
  cluster_size: optional(size(), 'Bytes of a cluster: 512 to 2M, a power of two [default: 64K].'),
  refcount_bits: optional(integer({ min: 1, max: 64 }), 'Bits of a reference count: 1, 2, 4, ... 64 [default: 16].'),
  lazy_refcounts: optional(onOff, 'Tell writers that they may be late with reference counts.'),
  extended_l2: optional(onOff, 'Allocate in 32nds of a cluster.'),
  compression_type: optional(choice('zlib', 'zstd'), 'How compressed clusters are compressed [default: zlib].'),
  preallocation: optional(
    choice(...PREALLOCATIONS),
    'What has a place from the start: nothing (off), all data in the tables (metadata), on the disk of the host too ' +
      '(falloc), with zeroes written there (full) [default: off].',
  ),
  backing_file: optional(text('NAME'), 'What the image does not have is read from this file.'),
  backing_fmt: optional(formatSyntax, 'The format of the backing file.'),
  data_file: optional(text('NAME'), "The file, which is made, for the guest's data."),
  data_file_raw: optional(onOff, 'Keep the data file valid as a raw image of its own.'),
};

export type Qcow2Keys = KeyValues<typeof qcow2Keys>;

export const qcow2Option = {
  options: value({
    short: 'o',
    section: 'New image',
    syntax: keyValues(qcow2Keys),
    help: 'What a qcow2 image is like.',
  }),
};
