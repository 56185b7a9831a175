/** The WebAssembly memory of a software VM, with guest RAM in it backed by a memfd that device processes can map. */
import { close } from '../../base/fd.ts';
import { addressOf } from '../../base/ffi.ts';
import { createMemfd } from '../../base/memfd.ts';
import { MAP_SHARED, mmap } from '../../base/mmap.ts';
import { CrosvmError } from '../../errors.ts';
import { GuestMemory, type MemoryLayoutEntry } from '../../memory/guest-memory.ts';
import { checkMemoryLayout } from '../memfd-memory.ts';
import { align, MAX_REGIONS, MAX_VCPUS, REGION, REGION_SIZE, REGIONS, ramBase } from './layout.ts';

const WASM_PAGE = 65536;
const MAX_WASM_PAGES = 65536;
const GUEST_PAGE = 4096;
const CODE_MAP_ENTRY = 8;

/** What another thread needs to see the same machine: survives structured clone. */
export interface MachineMemory {
  readonly memory: WebAssembly.Memory;
  readonly cpus: number;
  readonly fd: number;
  readonly layout: readonly MemoryLayoutEntry[];
}

/** Makes the memory, all zero. Throws `E_MEMORY_LAYOUT`, `E_MEMORY_SIZE` or `E_VCPUS`. */
export function createMachineMemory(layout: readonly MemoryLayoutEntry[], cpus: number): MachineMemory {
  checkMemoryLayout(layout);
  if (cpus < 1 || cpus > MAX_VCPUS) {
    throw new CrosvmError('E_VCPUS', `the software CPU can have 1 to ${MAX_VCPUS} vCPUs, not ${cpus}`);
  }
  if (layout.length > MAX_REGIONS) throw new CrosvmError('E_MEMORY_LAYOUT', 'too many regions of guest memory');
  const ram = layout.reduce((sum, entry) => sum + entry.size, 0);
  const total = ramBase(cpus) + ram + (ram / GUEST_PAGE) * CODE_MAP_ENTRY;
  const pages = align(total, WASM_PAGE) / WASM_PAGE;
  if (pages > MAX_WASM_PAGES) {
    const most = Math.floor((MAX_WASM_PAGES * WASM_PAGE - ramBase(cpus)) / (1 + CODE_MAP_ENTRY / GUEST_PAGE) / 2 ** 20);
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
  return machine;
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
  const ram = layout.reduce((sum, entry) => sum + entry.size, 0);
  let host = ramBase(cpus);
  let codeMap = host + ram;
  view.setUint32(REGIONS, layout.length, true);
  layout.forEach((entry, i) => {
    const at = REGIONS + 8 + i * REGION_SIZE;
    view.setBigUint64(at + REGION.start, BigInt(entry.gpa), true);
    view.setBigUint64(at + REGION.size, BigInt(entry.size), true);
    view.setUint32(at + REGION.host, host, true);
    view.setUint32(at + REGION.readOnly, entry.readOnly === true ? 1 : 0, true);
    view.setUint32(at + REGION.codeMap, codeMap, true);
    host += entry.size;
    codeMap += (entry.size / GUEST_PAGE) * CODE_MAP_ENTRY;
  });
}
