import { DISK_EXECUTORS } from '../../device-process/device-spec.ts';
import { DISK_FORMATS } from '../../disk/disk.ts';
import { TRUST_WORDS } from '../../disk/image-trust.ts';
import { CrosvmError } from '../../errors.ts';
import { pciAddress } from './pci-address.ts';
import {
  boolean,
  choice,
  defaulted,
  integer,
  type KeyValues,
  keyValues,
  mapped,
  optional,
  path,
  required,
  several,
  text,
  type ValueSyntax,
} from './syntax.ts';

const MAX_ID_BYTES = 20;
const MAX_BLOCK_SIZE = 65536;
const MAX_QUEUES = 64;

const trueOrFalse = mapped(choice('true', 'false'), (word) => word === 'true');

const blockSize = mapped(integer({ min: 512, max: MAX_BLOCK_SIZE, metavar: 'BYTES' }), (size): number => {
  if ((size & (size - 1)) === 0) return size;
  throw new CrosvmError('E_OPTION', `${size} is not a power of two`);
});

const serial = mapped(text('TEXT'), (id) => {
  const bytes = new TextEncoder().encode(id).length;
  if (bytes <= MAX_ID_BYTES) return id;
  throw new CrosvmError('E_OPTION', `a serial number has up to ${MAX_ID_BYTES} bytes, "${id}" has ${bytes}`);
});

export const diskExecutor = choice(...DISK_EXECUTORS);

/** What can be said of a disk of a guest. */
export const diskKeys = {
  path: required(path(), 'The disk image, or a block device.'),
  ro: boolean('The guest may only read.'),
  sparse: optional(trueOrFalse, 'What the guest discards is given back to the host [default: true].'),
  'block-size': defaulted(blockSize, 512, 'What the guest reads and writes in multiples of.'),
  id: optional(serial, 'Serial number, up to 20 bytes.'),
  direct: boolean("Past the host's page cache."),
  format: optional(choice(...DISK_FORMATS), 'Format of the image [default: told by its contents].'),
  allow: several(
    choice(...TRUST_WORDS),
    'What an image that you trust may do: have backing files and parts outside of its folder (outside), have the format ' +
      'of its backing file guessed (probe), keep its data in another file (data-file).',
  ),
  overlay: optional(
    path('temp|PATH'),
    'The image stays as it is. What the guest writes vanishes at the end (temp), or goes to a qcow2 image, which is made ' +
      'if it is not there.',
  ),
  lock: optional(trueOrFalse, 'Keep other programs from an image in use [default: true].'),
  'async-executor': optional(
    diskExecutor,
    'How requests are carried out: many at a time by io_uring (uring), or one after the other (epoll) [default: uring ' +
      'with direct where the host has it, else epoll].',
  ),
  queues: defaulted(integer({ min: 1, max: MAX_QUEUES }), 1, 'Number of queues.'),
};

export const diskSyntax = keyValues(diskKeys, { first: 'path' });

/** A disk. */
export interface DiskOption extends KeyValues<typeof diskKeys> {}

/** A disk of a VM. */
export interface BlockOption extends DiskOption {
  /** The guest's root file system is on it. */
  readonly root: boolean;
  /** The guest is offered packed queues. */
  readonly 'packed-queue': boolean;
  /** Its device number on PCI bus 0, if it is to have a certain one. */
  readonly slot: number | undefined;
}

/** What `crosvm run` takes: other spellings too, and where the disk goes. */
const runKeys = {
  ...diskKeys,
  block_size: optional(blockSize, 'The same as block-size.'),
  o_direct: optional(trueOrFalse, 'The same as direct.'),
  'packed-queue': boolean('Offer the guest packed queues.'),
  'pci-address': optional(pciAddress, 'Where it is on the PCI bus [default: the first free place].'),
};

function blockOption(given: KeyValues<typeof runKeys>): Omit<BlockOption, 'root'> {
  const { block_size, o_direct, 'pci-address': slot, ...disk } = given;
  return { ...disk, 'block-size': block_size ?? disk['block-size'], direct: o_direct ?? disk.direct, slot };
}

/** `--block`. */
export const blockSyntax: ValueSyntax<BlockOption> = mapped(
  keyValues({ ...runKeys, root: boolean("The guest's root file system is on it.") }, { first: 'path' }),
  ({ root, ...given }) => ({ ...blockOption(given), root }),
);

/** A disk whose option says by itself how it is used. */
export function blockSyntaxAs(use: { readonly ro: boolean; readonly root: boolean }): ValueSyntax<BlockOption> {
  const syntax = keyValues(runKeys, { first: 'path', metavar: 'PATH[,KEY=VALUE,...]' });
  return mapped(syntax, (given) => ({ ...blockOption(given), ...use, ro: use.ro || given.ro }));
}
