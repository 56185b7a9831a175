/** The eventfds of a virtio device, and the interrupts that they raise. */
import { EventFd } from '../../base/event-fd.ts';
import { close } from '../../base/fd.ts';
import { onReadable, type Subscription, waitReadable } from '../../base/readable.ts';
import type { VmAccess } from '../../hypervisor/hypervisor.ts';
import type { MsixSources } from '../../pci/msix.ts';
import type { VirtioPci } from '../../pci/virtio-pci/virtio-pci.ts';
import type { QueueWiring } from '../../vhost-user/front-end/queue-wiring.ts';

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

/** Looks after interrupts without a vector, and queues that have failed, on the main thread. */
export function watchWiring(wiring: QueueWiring, device: VirtioPci): Subscription[] {
  const [line, error] = [new EventFd(wiring.line), new EventFd(wiring.error)];
  return [
    onReadable(line.fd, () => {
      if (line.clear() > 0) device.queueUsed();
    }),
    onReadable(error.fd, () => {
      if (error.clear() > 0) device.deviceLost('the back end cannot go on with one of its queues');
    }),
  ];
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
