import { check, koffi, libc } from './ffi.ts';

export const PROT_NONE = 0;
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const PROT_EXEC = 4;

export const MAP_SHARED = 0x01;
export const MAP_PRIVATE = 0x02;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MAP_NORESERVE = 0x4000;

const cMmap = libc<(a: number, length: number, prot: number, flags: number, fd: number, offset: number) => number>(
  'int64_t mmap(int64_t, int64_t, int, int, int, int64_t)',
);
const cMunmap = libc<(address: number, length: number) => number>('int munmap(int64_t, int64_t)');
const cMprotect = libc<(address: number, length: number, protection: number) => number>(
  'int mprotect(int64_t, int64_t, int)',
);
const cMadvise = libc<(address: number, length: number, advice: number) => number>(
  'int madvise(int64_t, int64_t, int)',
);

export interface Mapping {
  /** Bytes; the kernel rounds up to whole pages. */
  readonly length: number;
  /** What to map; anonymous zero pages without it. */
  readonly fd?: number;
  /** Where in the file to start: a multiple of the page size. */
  readonly offset?: number;
  /** Replaces whatever is mapped at exactly this address (MAP_FIXED). The kernel chooses without it. */
  readonly address?: number | undefined;
  /** PROT_ flags; read and write by default. */
  readonly protection?: number;
  /** MAP_ flags; by default shared for a file and private for anonymous memory. */
  readonly flags?: number;
}

/** Maps memory and returns its address. Throws `SystemError`. */
export function mmap(mapping: Mapping): number {
  const { length, fd = -1, offset = 0, address, protection = PROT_READ | PROT_WRITE } = mapping;
  let flags = mapping.flags ?? (fd === -1 ? MAP_PRIVATE : MAP_SHARED);
  if (fd === -1) flags |= MAP_ANONYMOUS;
  if (address !== undefined) flags |= MAP_FIXED;
  return check(cMmap(address ?? 0, length, protection, flags, fd, offset), 'mmap', `${length} bytes`);
}

/** Gives memory back. No `view` of it may be touched afterwards, by any thread: that is a fault, not an exception. */
export function munmap(address: number, length: number): void {
  check(cMunmap(address, length), 'munmap');
}

/** Changes what may be done with mapped pages; `protection` is PROT_ flags. Throws `SystemError`. */
export function mprotect(address: number, length: number, protection: number): void {
  check(cMprotect(address, length, protection), 'mprotect');
}

/** madvise(2); `advice` is a MADV_ number. */
export function madvise(address: number, length: number, advice: number): void {
  check(cMadvise(address, length, advice), 'madvise');
}

/**
 * The memory at [address, address + length) as an ArrayBuffer, without a copy. Make one for each thread from the
 * address; never post the buffer. Each costs a garbage collection, so make few and early.
 */
export function view(address: number, length: number): ArrayBuffer {
  return koffi.view(BigInt(address), length);
}

const PAGE_SIZE = 4096;
const MADV_REMOVE = 9;

/**
 * Gives the whole pages within [address, address + length) of a shared mapping back to the host: they read as zeroes
 * from then on, for all who have mapped them. What the host cannot take back, such as part of a huge page, stays.
 */
export function releasePages(address: number, length: number): void {
  const first = Math.ceil(address / PAGE_SIZE) * PAGE_SIZE;
  const end = Math.floor((address + length) / PAGE_SIZE) * PAGE_SIZE;
  if (end > first) cMadvise(first, end - first, MADV_REMOVE);
}
