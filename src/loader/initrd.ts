import { CrosvmError } from '../errors.ts';
import type { Gpa, GuestMemory } from '../memory/guest-memory.ts';
import type { LoadedKernel } from './kernel.ts';
import { copyToGuest, type KernelSource } from './kernel-source.ts';

export interface LoadedInitrd {
  readonly address: Gpa;
  readonly size: number;
}

const PAGE = 4096;

/**
 * Puts the initrd as high as the kernel allows, on a page boundary, in the RAM that the kernel is in and above the
 * kernel. Throws `E_INITRD` if the file is empty or does not fit.
 */
export function loadInitrd(source: KernelSource, memory: GuestMemory, kernel: LoadedKernel): LoadedInitrd {
  if (source.size === 0) throw new CrosvmError('E_INITRD', `${source.name}: the initrd is empty`);
  const region = memory.regions.find((r) => kernel.start >= r.gpa && kernel.start < r.gpa + r.size);
  const ramEnd = region === undefined ? 0 : region.gpa + region.size;
  const top = Math.min(ramEnd, kernel.initrdAddressMax + 1);
  const address = Math.floor((top - source.size) / PAGE) * PAGE;
  if (address < kernel.end) {
    const room = Math.max(0, Math.floor((top - Math.ceil(kernel.end / PAGE) * PAGE) / PAGE) * PAGE);
    throw new CrosvmError(
      'E_INITRD',
      `${source.name}: the initrd has ${source.size} bytes, but beside the kernel there is room for ${room}; give the guest more memory with --mem`,
    );
  }
  copyToGuest(source, 0, source.size, memory, address);
  return { address, size: source.size };
}
