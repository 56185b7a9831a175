/** How the queues of a device that somebody else serves are connected to the machine: by eventfds. */
import type { EventFd } from '../../base/event-fd.ts';
import { SystemError } from '../../base/system-error.ts';
import type { IoEvent, VmAccess } from '../../hypervisor/hypervisor.ts';
import { NOTIFY_MULTIPLIER } from '../../pci/virtio-pci/layout.ts';
import { INTERRUPT_LINE, NO_INTERRUPT } from '../../pci/virtio-pci/virtio-link.ts';

/** The eventfds of a device. */
export interface QueueWiring {
  /** One for each queue: the driver has made buffers available. */
  readonly kicks: readonly number[];
  /** One for each MSI-X vector. */
  readonly vectors: readonly number[];
  /** Queues without a vector interrupt by this one. */
  readonly line: number;
  /** The back end cannot go on with a queue. */
  readonly error: number;
}

/** What a queue signals to interrupt as `interrupt` says (`QueueSetup`), if anything. */
export function interruptFd({ vectors, line }: QueueWiring, interrupt: number): number | undefined {
  if (interrupt === NO_INTERRUPT) return undefined;
  return interrupt === INTERRUPT_LINE ? line : vectors[interrupt];
}

/** Connects the doorbells at `to`, one for each queue, with its eventfd, and no longer those at `from`; -1 is nowhere. */
export function moveDoorbells(vm: VmAccess, kicks: readonly EventFd[], from: number, to: number): void {
  for (const [queue, { fd }] of kicks.entries()) {
    const at = (doorbells: number): IoEvent => ({
      address: doorbells + queue * NOTIFY_MULTIPLIER,
      space: 'mmio',
      length: 0,
      fd,
    });
    if (from >= 0) unlessRefused(() => vm.removeIoEvent(at(from)));
    if (to >= 0) unlessRefused(() => vm.addIoEvent(at(to)));
  }
}

/** Two BARs that a guest lays over each other can be too much for a hypervisor; doorbells then ring through the bus. */
function unlessRefused(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
  }
}
