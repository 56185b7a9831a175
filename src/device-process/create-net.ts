import { StreamNetPort } from '../base/stream-net-port.ts';
import { tapPort } from '../base/tap.ts';
import { NetDevice } from '../virtio/net/net-device.ts';
import type { NetPort } from '../virtio/net/net-port.ts';
import type { NetSpec, NetWire } from './device-spec.ts';
import type { MadeDevice } from './made-device.ts';

export function createNet({ mac, mtu, wire }: NetSpec): MadeDevice {
  const offloads = wire.kind === 'tap';
  return { device: new NetDevice(portsOf(wire), { mac: mac && Uint8Array.from(mac), mtu, offloads }) };
}

function portsOf(wire: NetWire): NetPort[] {
  if (wire.kind === 'stream') return [new StreamNetPort(wire.fd)];
  return wire.queues.map(({ fd }) => tapPort(fd, wire.queues.length > 1));
}
