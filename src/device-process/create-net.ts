import { StreamNetPort } from '../base/stream-net-port.ts';
import { tapPorts } from '../base/tap.ts';
import { NetDevice } from '../virtio/net/net-device.ts';
import type { NetPort } from '../virtio/net/net-port.ts';
import type { NetSpec, NetWire } from './device-spec.ts';
import { KeptState } from './kept-state.ts';
import type { MadeDevice } from './made-device.ts';

export function createNet({ mac, mtu, wire, kept: keptIn }: NetSpec): MadeDevice {
  const offloads = wire.kind === 'tap';
  const kept = keptIn && KeptState.open(keptIn.fd);
  const onStateChange = () => kept?.keep(device);
  const device = new NetDevice(portsOf(wire), { mac: mac && Uint8Array.from(mac), mtu, offloads, onStateChange });
  kept?.resume(device);
  return { device };
}

function portsOf(wire: NetWire): NetPort[] {
  return wire.kind === 'stream' ? [new StreamNetPort(wire.fd)] : tapPorts(wire.queues.map(({ fd }) => fd));
}
