import { closeAll } from '../../base/fd.ts';
import { HostFile } from '../../base/host-file.ts';
import { createMemfd } from '../../base/memfd.ts';
import { makeTap } from '../../base/tap.ts';
import type { DeviceOrder } from '../../device-process/device-orders.ts';
import { type BlockSpec, type DeviceSpec, KEEPSAKE_SIZES, type NetSpec } from '../../device-process/device-spec.ts';

/** What the VMM holds for a device of ours, so that it is still there when the device is started again. */
export class Belongings {
  /** What was written to a disk. */
  #temporary: HostFile | undefined;
  /** The queues of a TAP device, which goes with the last of them. */
  #tap: readonly number[] | undefined;
  /** Memory in which a device keeps what its successor has to know. */
  #keepsake: number | undefined;
  #balloonSize: number | undefined;

  /** The specification of a device that has all this. Throws `E_TAP`, `SystemError`. */
  equip(spec: DeviceSpec): DeviceSpec {
    switch (spec.type) {
      case 'block':
        return spec.writable ? { ...spec, overlay: this.#overlay(spec), keepsake: this.#keep('block') } : spec;
      case 'net':
        return { ...spec, wire: this.#wire(spec) };
      case 'balloon':
        return { ...spec, size: this.#balloonSize ?? spec.size };
      default:
        return spec;
    }
  }

  /** The device has carried out an order; the next one would not know of it. */
  remember(order: DeviceOrder): void {
    if (order.kind === 'inflateBalloon') this.#balloonSize = order.size;
  }

  /** A device that lives has its own descriptors. */
  close(): void {
    this.#temporary?.close();
    closeAll(this.#tap ?? []);
    if (this.#keepsake !== undefined) closeAll([this.#keepsake]);
  }

  #overlay({ overlay }: BlockSpec): BlockSpec['overlay'] {
    if (overlay?.kind !== 'temporary') return overlay;
    this.#temporary ??= HostFile.temporary();
    return { kind: 'temporary', fd: this.#temporary.fd };
  }

  #wire({ wire, pairs, address }: NetSpec): NetSpec['wire'] {
    if (!('name' in wire)) return wire;
    this.#tap ??= makeTap(wire.name, pairs, address);
    return { kind: 'tap', fds: this.#tap };
  }

  #keep(type: keyof typeof KEEPSAKE_SIZES): number {
    this.#keepsake ??= createMemfd('crosvm-keepsake', KEEPSAKE_SIZES[type]);
    return this.#keepsake;
  }
}
