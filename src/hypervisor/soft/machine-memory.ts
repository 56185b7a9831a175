/** The WebAssembly memory of a software VM, with guest RAM in it backed by a memfd that device processes can map. */
import { close } from '../../base/fd.ts';
import { addressOf } from '../../base/ffi.ts';
import { createMemfd } from '../../base/memfd.ts';
import { MAP_NORESERVE, MAP_PRIVATE, MAP_SHARED, mmap } from '../../base/mmap.ts';
import { CrosvmError } from '../../errors.ts';
import { GuestMemory, type MemoryLayoutEntry } from '../../memory/guest-memory.ts';
import { checkMemoryLayout } from '../memfd-memory.ts';
import {
  align,
  EXTERNAL_WRITERS,
  MAX_REGIONS,
  MAX_VCPUS,
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
/** What each page of guest memory costs: itself and its entries of the code map and the dirty map. */
const PAGE_COST = GUEST_PAGE + CODE_MAP_ENTRY + 1;

/** What another thread needs to see the same machine: survives structured clone. */
export interface MachineMemory {
  readonly memory: WebAssembly.Memory;
  readonly cpus: number;
  readonly fd: number;
  readonly layout: readonly MemoryLayoutEntry[];
}

/** Makes the memory, all zero. Throws `E_MEMORY_LAYOUT`, `E_MEMORY_SIZE` or `E_VCPUS`. */
export function createMachineMemory(
  layout: readonly MemoryLayoutEntry[],
  cpus: number,
  hasExternalWriters = false,
): MachineMemory {
  checkMemoryLayout(layout);
  if (cpus < 1 || cpus > MAX_VCPUS) {
    throw new CrosvmError('E_VCPUS', `the software CPU can have 1 to ${MAX_VCPUS} vCPUs, not ${cpus}`);
  }
  if (layout.length > MAX_REGIONS) throw new CrosvmError('E_MEMORY_LAYOUT', 'too many regions of guest memory');
  const ram = ramSize(layout);
  const total = ramBase(cpus) + (ram / GUEST_PAGE) * PAGE_COST;
  const pages = align(total, WASM_PAGE) / WASM_PAGE;
  if (pages > MAX_WASM_PAGES) {
    const most = Math.floor((((MAX_WASM_PAGES * WASM_PAGE - ramBase(cpus)) / PAGE_COST) * GUEST_PAGE) / 2 ** 20);
    throw new CrosvmError(
      'E_MEMORY_SIZE',
      `${Math.ceil(ram / 2 ** 20)} MiB of memory is more than the software CPU can have: at most ${most} MiB (--mem ${most})`,
    );
  }
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const fd = createMemfd('crosvm_guest', ram);
  try {
    const address = addressOf(memory.buffer) + ramBase(cpus);
    mmap({ address, length: ram, fd, flags: MAP_SHARED });
  } catch (error) {
    close(fd);
    throw error;
  }
  const machine = { memory, cpus, fd, layout: layout.map((entry) => ({ ...entry })) };
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

/** Address of the dirty map of region `index`: a byte for each page. */
export function dirtyMapOf({ layout, cpus }: MachineMemory, index: number): number {
  const pages = ramSize(layout) / GUEST_PAGE;
  const before = ramSize(layout.slice(0, index)) / GUEST_PAGE;
  return ramBase(cpus) + pages * (GUEST_PAGE + CODE_MAP_ENTRY) + before;
}

function ramSize(layout: readonly MemoryLayoutEntry[]): number {
  return layout.reduce((sum, entry) => sum + entry.size, 0);
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

function writeRegionTable({ memory, cpus, layout }: MachineMemory): void {
  const view = new DataView(memory.buffer);
  let host = ramBase(cpus);
  let codeMap = host + ramSize(layout);
  view.setUint32(REGIONS, layout.length, true);
  view.setUint32(VCPU_COUNT, cpus, true);
  layout.forEach((entry, i) => {
    const at = regionEntry(i);
    view.setBigUint64(at + REGION.start, BigInt(entry.gpa), true);
    view.setBigUint64(at + REGION.size, BigInt(entry.size), true);
    view.setUint32(at + REGION.host, host, true);
    view.setUint32(at + REGION.readOnly, entry.readOnly === true ? 1 : 0, true);
    view.setUint32(at + REGION.codeMap, codeMap, true);
    host += entry.size;
    codeMap += (entry.size / GUEST_PAGE) * CODE_MAP_ENTRY;
  });
}
