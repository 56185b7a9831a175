/**
 * Guest RAM in one memfd, mapped once into this process: every thread makes its own views of that mapping, and another
 * process maps the memfd itself.
 */
import { close } from '../base/fd.ts';
import { createMemfd } from '../base/memfd.ts';
import { MAP_NORESERVE, MAP_PRIVATE, MAP_SHARED, mmap, PROT_READ, PROT_WRITE, view } from '../base/mmap.ts';
import { CrosvmError } from '../errors.ts';
import { GuestMemory, type MemoryLayoutEntry } from '../memory/guest-memory.ts';

/** What another thread needs to see the same memory: survives structured clone. */
export interface MemfdMemoryHandle {
  readonly fd: number;
  /** Where the memfd is mapped in this process, and its length in bytes. */
  readonly address: number;
  readonly size: number;
  readonly layout: readonly MemoryLayoutEntry[];
}

/** Guest RAM with the thing to hand to other threads and processes. */
export interface MemfdMemory {
  readonly memory: GuestMemory;
  readonly handle: MemfdMemoryHandle;
}

const PAGE = 4096;
/** What x86-64 processes can map, less some room for everything else. */
const MAX_SIZE = 0x7000_0000_0000;

/** Checks that a layout is one that can be mapped. Throws `E_MEMORY_LAYOUT`. */
export function checkMemoryLayout(layout: readonly MemoryLayoutEntry[]): void {
  const fail = (message: string): never => {
    throw new CrosvmError('E_MEMORY_LAYOUT', message);
  };
  if (layout.length === 0) fail('a VM needs some memory');
  let end = 0;
  for (const { gpa, size } of layout) {
    const region = `guest memory of ${size} bytes at 0x${gpa.toString(16)}`;
    if (!Number.isSafeInteger(gpa + size) || gpa < 0 || size <= 0 || size > MAX_SIZE) {
      fail(`${region} is not a range of addresses that can be mapped`);
    }
    if (gpa % PAGE !== 0 || size % PAGE !== 0) fail(`${region} does not start and end on a page of ${PAGE} bytes`);
    if (gpa < end) fail(`${region} overlaps the memory before it or stands out of order`);
    end = gpa + size;
  }
}

/** Makes guest RAM, all zero. Throws `E_MEMORY_LAYOUT`, or `E_MEMORY_SIZE` if the host cannot give that much. */
export function createGuestMemory(layout: readonly MemoryLayoutEntry[]): MemfdMemory {
  checkMemoryLayout(layout);
  const size = layout.reduce((sum, entry) => sum + entry.size, 0);
  try {
    const fd = createMemfd('crosvm_guest', size);
    try {
      const address = mmap({ length: size, fd, flags: MAP_SHARED | MAP_NORESERVE });
      const handle = { fd, address, size, layout: layout.map((entry) => ({ ...entry })) };
      return { memory: attachGuestMemory(handle), handle };
    } catch (error) {
      close(fd);
      throw error;
    }
  } catch (cause) {
    const message = `the host cannot provide ${Math.ceil(size / 2 ** 20)} MiB of guest memory: ${(cause as Error).message}`;
    throw new CrosvmError('E_MEMORY_SIZE', message, { cause });
  }
}

/** The same memory as another thread of this process made it. */
export function attachGuestMemory(handle: MemfdMemoryHandle): GuestMemory {
  const buffer = view(handle.address, handle.size);
  let fdOffset = 0;
  const regions = handle.layout.map(({ gpa, size }) => {
    const region = { gpa, size, buffer, bufferOffset: fdOffset, hostAddress: handle.address + fdOffset, fdOffset };
    fdOffset += size;
    return region;
  });
  return new GuestMemory(regions);
}

/**
 * Gives the RAM back. Views may still exist in any thread, so the addresses stay taken: they read as zero, where an
 * unmapped page would kill the process.
 */
export function releaseGuestMemory(handle: MemfdMemoryHandle): void {
  const { address, size, fd } = handle;
  mmap({ address, length: size, protection: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE | MAP_NORESERVE });
  close(fd);
}
