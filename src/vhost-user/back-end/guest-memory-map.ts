import { close, closeAll, fileSize } from '../../base/fd.ts';
import { mmap, munmap, view } from '../../base/mmap.ts';
import { DeviceMemory, DeviceRegion } from '../../virtio/queue/device-memory.ts';
import { protocolError } from '../protocol/message.ts';
import type { SharedRegion } from '../protocol/payloads.ts';

/** The most regions at a time; VHOST_USER_GET_MAX_MEM_SLOTS. */
export const MAX_MEM_SLOTS = 64;

const PAGE_SIZE = 4096;
/** Beyond this no x86-64 processor has physical addresses. */
const MAX_GUEST_ADDRESS = 2 ** 52;

interface MappedRegion {
  readonly shared: SharedRegion;
  readonly address: number;
  readonly device: DeviceRegion;
}

/** The guest memory that a front end shares, mapped into this process. */
export class GuestMemoryMap {
  readonly memory = new DeviceMemory();
  #mapped: readonly MappedRegion[] = [];

  /** Replaces all regions; `fds` has a file for each and is closed. Throws `E_VHOST_USER`, with nothing changed. */
  set(regions: readonly SharedRegion[], fds: readonly number[]): void {
    const made: MappedRegion[] = [];
    try {
      if (fds.length !== regions.length) {
        throw protocolError(`a memory table of ${regions.length} regions came with ${fds.length} descriptors`);
      }
      for (const [i, region] of regions.entries()) {
        checkRegion(region, made);
        made.push(mapRegion(region, fds[i]!));
      }
    } catch (error) {
      unmap(made);
      throw error;
    } finally {
      closeAll(fds);
    }
    const old = this.#mapped;
    this.#use(made);
    unmap(old);
  }

  /** Adds one region. `fd` is closed. Throws `E_VHOST_USER`. */
  add(region: SharedRegion, fd: number): void {
    try {
      if (this.#mapped.length === MAX_MEM_SLOTS) throw protocolError(`more than ${MAX_MEM_SLOTS} regions of memory`);
      checkRegion(region, this.#mapped);
      this.#use([...this.#mapped, mapRegion(region, fd)]);
    } finally {
      close(fd);
    }
  }

  /** Takes away the region with these addresses and size. Throws `E_VHOST_USER` when there is none. */
  remove({ guestAddress, userAddress, size }: SharedRegion): void {
    const isIt = ({ shared }: MappedRegion) =>
      shared.guestAddress === guestAddress && shared.userAddress === userAddress && shared.size === size;
    const gone = this.#mapped.filter(isIt);
    if (gone.length === 0)
      throw protocolError(`there is no region of memory at 0x${guestAddress.toString(16)} to remove`);
    this.#use(this.#mapped.filter((region) => !isIt(region)));
    unmap(gone);
  }

  clear(): void {
    this.set([], []);
  }

  #use(mapped: readonly MappedRegion[]): void {
    this.#mapped = mapped;
    this.memory.replace(mapped.map(({ device }) => device));
  }
}

function checkRegion(region: SharedRegion, others: readonly MappedRegion[]): void {
  const { guestAddress, size, userAddress, mmapOffset } = region;
  const what = `a region of ${size} bytes at 0x${guestAddress.toString(16)}`;
  if ([guestAddress, size, userAddress, mmapOffset].some((value) => value % PAGE_SIZE !== 0)) {
    throw protocolError(`${what} is not made of whole pages`);
  }
  if (size === 0 || guestAddress + size > MAX_GUEST_ADDRESS || userAddress + size > Number.MAX_SAFE_INTEGER) {
    throw protocolError(`${what} is impossible`);
  }
  for (const { shared } of others) {
    const apart = guestAddress >= shared.guestAddress + shared.size || shared.guestAddress >= guestAddress + size;
    if (!apart) throw protocolError(`${what} overlaps another one`);
  }
}

function mapRegion(shared: SharedRegion, fd: number): MappedRegion {
  const { guestAddress, userAddress, size, mmapOffset } = shared;
  // To touch a page beyond the end of a file kills the process.
  if (mmapOffset + size > fileSize(fd)) {
    throw protocolError(`a region of ${size} bytes at ${mmapOffset} goes beyond the end of its file`);
  }
  const address = mmap({ length: size, fd, offset: mmapOffset });
  const bytes = new Uint8Array(view(address, size));
  return { shared, address, device: new DeviceRegion(guestAddress, userAddress, { bytes, address }) };
}

function unmap(regions: readonly MappedRegion[]): void {
  for (const { address, shared } of regions) munmap(address, shared.size);
}
