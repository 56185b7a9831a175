/** The WebAssembly memory of a software VM, with guest RAM in it backed by a memfd that device processes can map. */
import { close } from '../../base/fd.ts';
import { addressOf } from '../../base/ffi.ts';
import { createMemfd } from '../../base/memfd.ts';
import { MAP_NORESERVE, MAP_PRIVATE, MAP_SHARED, mmap } from '../../base/mmap.ts';
import { CrosvmError } from '../../errors.ts';
import { GuestMemory, type MemoryLayoutEntry } from '../../memory/guest-memory.ts';
import type { WindowOptions } from '../../memory/memory-window.ts';
import { checkMemoryLayout } from '../memfd-memory.ts';
import {
  align,
  EXTERNAL_WRITERS,
  MAX_REGIONS,
  MAX_VCPUS,
  NO_MASK,
  REGION,
  REGIONS,
  ramBase,
  regionEntry,
  VCPU_COUNT,
} from './layout.ts';

const WASM_PAGE = 65536;
const MAX_WASM_PAGES = 65536;
export const GUEST_PAGE = 4096;
const CODE_MAP_ENTRY = 8;
/** What each page of guest memory and windows costs: itself, its entry of the code map, and its byte. */
const PAGE_COST = GUEST_PAGE + CODE_MAP_ENTRY + 1;

/** What another thread needs to see the same machine: survives structured clone. */
export interface MachineMemory {
  readonly memory: WebAssembly.Memory;
  readonly cpus: number;
  readonly fd: number;
  readonly layout: readonly MemoryLayoutEntry[];
  readonly windows: readonly WindowOptions[];
}

export interface MachineMemoryOptions {
  readonly memory: readonly MemoryLayoutEntry[];
  readonly windows?: readonly WindowOptions[];
  readonly cpus: number;
  readonly hasExternalWriters?: boolean;
}

/** Makes the memory, all zero. Throws `E_MEMORY_LAYOUT`, `E_MEMORY_SIZE` or `E_VCPUS`. */
export function createMachineMemory(options: MachineMemoryOptions): MachineMemory {
  const { memory: layout, windows = [], cpus, hasExternalWriters = false } = options;
  checkMemoryLayout(layout);
  if (cpus < 1 || cpus > MAX_VCPUS) {
    throw new CrosvmError('E_VCPUS', `the software CPU can have 1 to ${MAX_VCPUS} vCPUs, not ${cpus}`);
  }
  if (layout.length + windows.length > MAX_REGIONS) {
    throw new CrosvmError('E_MEMORY_LAYOUT', 'too many regions of guest memory');
  }
  const ram = sumOf(layout);
  const total = ramBase(cpus) + ((ram + sumOf(windows)) / GUEST_PAGE) * PAGE_COST;
  const pages = align(total, WASM_PAGE) / WASM_PAGE;
  if (pages > MAX_WASM_PAGES) throw tooLarge(ram, sumOf(windows), cpus);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const fd = createMemfd('crosvm_guest', ram);
  try {
    const address = addressOf(memory.buffer) + ramBase(cpus);
    mmap({ address, length: ram, fd, flags: MAP_SHARED });
  } catch (error) {
    close(fd);
    throw error;
  }
  const machine = { memory, cpus, fd, layout: layout.map((entry) => ({ ...entry })), windows };
  writeRegionTable(machine);
  new DataView(memory.buffer).setUint32(EXTERNAL_WRITERS, hasExternalWriters ? 1 : 0, true);
  return machine;
}

/**
 * Gives the memory back. Views may still exist in any thread, so the addresses stay taken until all of these are gone;
 * they read as zero.
 */
export function releaseMachineMemory({ memory, fd }: MachineMemory): void {
  const { buffer } = memory;
  mmap({ address: addressOf(buffer), length: buffer.byteLength, flags: MAP_PRIVATE | MAP_NORESERVE });
  close(fd);
}

function tooLarge(ram: number, windows: number, cpus: number): CrosvmError {
  const mib = (bytes: number) => Math.ceil(bytes / 2 ** 20);
  const most = Math.floor((((MAX_WASM_PAGES * WASM_PAGE - ramBase(cpus)) / PAGE_COST) * GUEST_PAGE) / 2 ** 20);
  const message =
    windows === 0
      ? `${mib(ram)} MiB of memory is more than the software CPU can have: at most ${most} MiB (--mem ${most})`
      : `${mib(ram)} MiB of memory and ${mib(windows)} MiB for mapped files are more than the software CPU can have: at most ${most} MiB together`;
  return new CrosvmError('E_MEMORY_SIZE', message);
}

/** Address of the bytes for the pages of region `index`: the dirty map of RAM, the PAGE_ bytes of a window. */
export function pageBytesOf(machine: MachineMemory, index: number): number {
  const sizes = regionsOf(machine);
  const pages = sumOf(sizes) / GUEST_PAGE;
  const before = sumOf(sizes.slice(0, index)) / GUEST_PAGE;
  return ramBase(machine.cpus) + pages * (GUEST_PAGE + CODE_MAP_ENTRY) + before;
}

/** WebAssembly address of region `index`. */
export function regionBase(machine: MachineMemory, index: number): number {
  return ramBase(machine.cpus) + sumOf(regionsOf(machine).slice(0, index));
}

/** RAM first, then windows. */
function regionsOf({ layout, windows }: MachineMemory): readonly { readonly size: number }[] {
  return [...layout, ...windows];
}

function sumOf(regions: readonly { readonly size: number }[]): number {
  return regions.reduce((sum, { size }) => sum + size, 0);
}

/** Guest memory as this thread sees it. */
export function guestMemoryOf(machine: MachineMemory): GuestMemory {
  const { buffer } = machine.memory;
  const base = ramBase(machine.cpus);
  const hostBase = addressOf(buffer) + base;
  let fdOffset = 0;
  const regions = machine.layout.map((entry) => {
    const region = { ...entry, buffer, bufferOffset: base + fdOffset, hostAddress: hostBase + fdOffset, fdOffset };
    fdOffset += entry.size;
    return region;
  });
  return new GuestMemory(regions);
}

function writeRegionTable(machine: MachineMemory): void {
  const { memory, cpus, layout, windows } = machine;
  const view = new DataView(memory.buffer);
  const regions = regionsOf(machine);
  let host = ramBase(cpus);
  let codeMap = host + sumOf(regions);
  view.setUint32(REGIONS, regions.length, true);
  view.setUint32(VCPU_COUNT, cpus, true);
  regions.forEach(({ size }, i) => {
    const at = regionEntry(i);
    view.setUint32(at + REGION.host, host, true);
    view.setUint32(at + REGION.codeMap, codeMap, true);
    view.setUint32(at + REGION.mask, NO_MASK, true);
    host += size;
    codeMap += (size / GUEST_PAGE) * CODE_MAP_ENTRY;
  });
  layout.forEach(({ gpa, size, readOnly }, i) => {
    const at = regionEntry(i);
    view.setBigUint64(at + REGION.start, BigInt(gpa), true);
    view.setBigUint64(at + REGION.size, BigInt(size), true);
    view.setUint32(at + REGION.readOnly, readOnly === true ? 1 : 0, true);
  });
  windows.forEach(({ size, address }, i) => {
    const at = regionEntry(layout.length + i);
    view.setUint32(at + REGION.pages, pageBytesOf(machine, layout.length + i), true);
    // Those that move are nowhere yet.
    if (address === undefined) view.setUint32(at + REGION.mask, size - 1, true);
    else {
      view.setBigUint64(at + REGION.start, BigInt(address), true);
      view.setBigUint64(at + REGION.size, BigInt(size), true);
    }
  });
}
