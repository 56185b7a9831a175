/** The eventfds of a virtio device, and the interrupts that they raise. */
import { EventFd } from '../../base/event-fd.ts';
import { close } from '../../base/fd.ts';
import { waitReadable } from '../../base/readable.ts';
import type { VmAccess } from '../../hypervisor/hypervisor.ts';
import type { MsixSources } from '../../pci/msix.ts';
import type { QueueWiring } from '../../vhost-user/front-end/vhost-user-link.ts';

export function createWiring(queues: number, vectors: number): QueueWiring {
  const eventFd = () => EventFd.create().fd;
  return {
    kicks: Array.from({ length: queues }, eventFd),
    vectors: Array.from({ length: vectors }, eventFd),
    line: eventFd(),
    error: eventFd(),
  };
}

export function closeWiring({ kicks, vectors, line, error }: QueueWiring): void {
  for (const fd of [...kicks, ...vectors, line, error]) close(fd);
}

/**
 * MSI-X vectors whose sources are eventfds: an irqfd makes each write of one an MSI, and while there is no irqfd the
 * eventfd itself holds what is pending.
 */
export class VectorInterrupts implements MsixSources {
  readonly #vm: VmAccess;
  readonly #eventFds: readonly EventFd[];
  readonly #firstGsi: number;

  /** Vector v is GSI `firstGsi` + v. */
  constructor(vm: VmAccess, { vectors }: QueueWiring, firstGsi: number) {
    this.#vm = vm;
    this.#eventFds = vectors.map((fd) => new EventFd(fd));
    this.#firstGsi = firstGsi;
  }

  connect(vector: number, address: number, data: number): void {
    this.#vm.addIrqfd(this.#eventFds[vector]!.fd, this.#firstGsi + vector, { address, data });
  }

  disconnect(vector: number): void {
    this.#vm.removeIrqfd(this.#eventFds[vector]!.fd, this.#firstGsi + vector);
  }

  isPending(vector: number): boolean {
    return waitReadable(this.#eventFds[vector]!.fd, 0);
  }

  signal(vector: number): void {
    this.#eventFds[vector]!.signal();
  }
}
