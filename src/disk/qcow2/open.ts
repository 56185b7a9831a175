import { CrosvmError } from '../../errors.ts';
import type { ByteStore } from '../byte-store.ts';
import { type Disk, unsupported } from '../disk.ts';
import type { OpenedFile } from '../disk-files.ts';
import type { Opening } from '../open-disk.ts';
import { dropBitmaps } from './bitmaps.ts';
import { checkImage } from './check.ts';
import { BACKING_FORMAT_NAMES, HEADER_READ_LENGTH, type Header, parseHeader } from './header.ts';
import { ImageFile } from './image-file.ts';
import { INCOMPATIBLE_CORRUPT, INCOMPATIBLE_DIRTY } from './layout.ts';
import { Qcow2Disk } from './qcow2-disk.ts';
import type { TableLog } from './table-log.ts';

/** Reads the header of the image in `store`. */
export function readHeader(store: ByteStore): Header {
  const head = new Uint8Array(Math.min(store.size, HEADER_READ_LENGTH));
  store.read(0, head);
  return parseHeader(store.name, head);
}

/** Opens a qcow2 image with its backing and data files; `opening` says what it may refer to. */
export function openQcow2(opening: Opening, file: OpenedFile): Qcow2Disk {
  const { store } = file;
  const header = readHeader(store);
  const log = store.writable ? opening.takeTableLog(file.identity) : undefined;
  if (store.writable) prepareForWriting(store, header, log);
  const opened: (Disk | ByteStore)[] = [];
  try {
    const dataFile = openDataFile(opening, file, header);
    if (dataFile !== undefined) opened.push(dataFile);
    const backing = openBacking(opening, file, header);
    if (backing !== undefined) opened.push(backing);
    return new Qcow2Disk(store, header, { codec: opening.world.codec, dataFile, backing, log });
  } catch (error) {
    for (const one of opened) one.close();
    throw error;
  }
}

function openDataFile(opening: Opening, file: OpenedFile, header: Header): ByteStore | undefined {
  const name = header.dataFile;
  if (name === undefined) return undefined;
  if (!opening.options.trust.dataFile) {
    throw new CrosvmError(
      'E_DISK_TRUST',
      `${file.path}: the image has its data in ${JSON.stringify(name)}; if you trust it, allow "data-file"`,
    );
  }
  const { writable } = file.store;
  return opening.openFile(file, { name, role: 'data file', format: 'raw', writable }).store;
}

function openBacking(opening: Opening, file: OpenedFile, header: Header): Disk | undefined {
  const name = header.backingFile;
  if (name === undefined || name === '') return undefined;
  const declared = header.backingFormat;
  const format = declared === undefined ? undefined : BACKING_FORMAT_NAMES[declared];
  if (declared !== undefined && format === undefined) {
    throw unsupported(file.path, `the format ${JSON.stringify(declared)} of its backing file is not supported`);
  }
  return opening.openReference(file, { name, role: 'backing file', format, writable: false });
}

/**
 * Makes the image fit to be written: brings to its tables what a predecessor has left in `log`, repairs one that was not closed, and drops what we cannot keep true while the
 * guest writes, as the autoclear bits demand.
 */
export function prepareForWriting(store: ByteStore, header: Header, log?: TableLog): void {
  log?.replay(store);
  if ((header.incompatible & INCOMPATIBLE_CORRUPT) !== 0) {
    throw new CrosvmError(
      'E_DISK_CORRUPT',
      `${store.name}: the image is marked corrupt and can only be read; repair it with crosvm image check --repair`,
    );
  }
  if ((header.incompatible & INCOMPATIBLE_DIRTY) !== 0) {
    const { errors, messages } = checkImage(store, header, 'all').left;
    if (errors > 0) throw new CrosvmError('E_DISK_CORRUPT', `${store.name}: the image is corrupt: ${messages[0]}`);
  }
  dropBitmaps(new ImageFile(store, header));
}
