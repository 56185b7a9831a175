/** Files that are memory of a guest from the start, for its persistent memory devices. */
import { type AddressRange, fileMemory } from '../../arch/x86_64/memory-map.ts';
import { close } from '../../base/fd.ts';
import { HostFile } from '../../base/host-file.ts';
import { createMemfd } from '../../base/memfd.ts';
import type { PmemOption } from '../../cli/options/pmem.ts';
import type { PmemSpec } from '../../device-process/device-spec.ts';
import { CrosvmError } from '../../errors.ts';
import type { MemoryWindow, WindowOptions } from '../../memory/memory-window.ts';
import type { SharedFile } from '../../vhost-user/front-end/vhost-user-link.ts';

const PAGE = 4096;
/** A guest has whole large pages, so that it can map them as such. */
const UNIT = 2 << 20;
/** The file, and what fills its last unit up. */
const MAX_PIECES = 2;

/** A file that was opened, and where it is to be in the guest. */
export interface PmemFile {
  readonly file: HostFile;
  readonly range: AddressRange;
}

/** Opens them for a guest with so much RAM; `resources` closes them. Throws `E_FILE_OPEN`, `E_DISK_LOCKED`, `E_PMEM`. */
export function openPmemFiles(options: readonly PmemOption[], ramSize: number, resources: DisposableStack): PmemFile[] {
  const files = options.map(({ path, ro }) =>
    resources.adopt(HostFile.open(path, { writable: !ro, lock: true }), (file) => file.close()),
  );
  for (const { name, size } of files) {
    if (size === 0) throw new CrosvmError('E_PMEM', `${name}: an empty file cannot be memory of a guest`);
  }
  const ranges = fileMemory(
    ramSize,
    files.map(({ size }) => roundUp(size, UNIT)),
  );
  return files.map((file, i) => ({ file, range: ranges[i]! }));
}

export function pmemWindow({ range }: PmemFile): WindowOptions {
  return { size: range.size, address: range.gpa, maxPieces: MAX_PIECES };
}

export function pmemSpec({ file, range }: PmemFile): PmemSpec {
  return { type: 'pmem', fd: file.fd, start: range.gpa, size: range.size };
}

/** What of it devices may access, too; undefined for nothing. Read-only memory is no place for what they bring. */
export function sharedPmem({ file, range }: PmemFile): SharedFile | undefined {
  const size = Math.floor(file.size / PAGE) * PAGE;
  return file.writable && size > 0 ? { fd: file.fd, gpa: range.gpa, size } : undefined;
}

/** Makes the file memory, with zeroes up to the window's end. Throws `SystemError`. */
export function mapPmemFile({ file, range }: PmemFile, window: MemoryWindow): void {
  const { fd, writable } = file;
  const length = roundUp(file.size, PAGE);
  window.map({ offset: 0, length, writable, fd, fdOffset: 0 });
  if (length === range.size) return;
  const rest = range.size - length;
  const padding = createMemfd('crosvm_padding', rest);
  try {
    window.map({ offset: length, length: rest, writable, fd: padding, fdOffset: 0 });
  } finally {
    close(padding);
  }
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}
