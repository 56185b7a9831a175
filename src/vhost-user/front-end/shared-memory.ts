import type { MemoryWindow } from '../../memory/memory-window.ts';
import type { SharedMemoryRegion } from '../../pci/virtio-pci/shared-memory.ts';
import { protocolError } from '../protocol/message.ts';
import type { SharedMapping } from '../protocol/payloads.ts';

/** The shared memory of a device, into which its back end maps pieces of files. */
export class SharedMemory {
  readonly #window: MemoryWindow;
  readonly #regions: readonly SharedMemoryRegion[];

  constructor(window: MemoryWindow, regions: readonly SharedMemoryRegion[]) {
    this.#window = window;
    this.#regions = regions;
  }

  /** `fds` stay the caller's. Throws `E_VHOST_USER`, `E_MEMORY_WINDOW` or `SystemError`; nothing has changed then. */
  map(mapping: SharedMapping, fds: readonly number[]): void {
    const [fd] = fds;
    if (fd === undefined) throw protocolError('a mapping came without a descriptor');
    const { length, writable, fdOffset } = mapping;
    this.#window.map({ offset: this.#place(mapping), length, writable, fd, fdOffset });
  }

  /** Takes away what was mapped as just this. Throws like `map`. */
  unmap(mapping: SharedMapping): void {
    this.#window.unmap(this.#place(mapping), mapping.length);
  }

  /** Where in the window it is. */
  #place({ id, offset, length }: SharedMapping): number {
    const region = this.#regions.find((one) => one.id === id);
    if (region === undefined) throw protocolError(`there is no shared memory ${id}`);
    if (length > region.length || offset > region.length - length) {
      throw protocolError(`${length} bytes at ${offset} go beyond the ${region.length} of shared memory ${id}`);
    }
    return region.offset + offset;
  }
}
