import { StreamNetPort } from '../base/stream-net-port.ts';
import { makeTap, tapPorts } from '../base/tap.ts';
import { NetDevice } from '../virtio/net/net-device.ts';
import type { NetPort } from '../virtio/net/net-port.ts';
import type { NetSpec } from './device-spec.ts';
import type { MadeDevice } from './made-device.ts';

export function createNet(spec: NetSpec): MadeDevice {
  const { mac, mtu, wire } = spec;
  const offloads = wire.kind === 'tap';
  return { device: new NetDevice(openPorts(spec), { mac: mac && Uint8Array.from(mac), mtu, offloads }) };
}

function openPorts({ wire, pairs, address }: NetSpec): NetPort[] {
  if (wire.kind === 'stream') return [new StreamNetPort(wire.fd)];
  return tapPorts('queues' in wire ? wire.queues.map(({ fd }) => fd) : makeTap(wire.name, pairs, address));
}
