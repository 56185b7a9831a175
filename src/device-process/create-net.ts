import { StreamNetPort } from '../base/stream-net-port.ts';
import { makeTap, tapPorts } from '../base/tap.ts';
import { decodeDeviceState, encodeDeviceState } from '../virtio/device-state.ts';
import { NetDevice } from '../virtio/net/net-device.ts';
import type { NetPort } from '../virtio/net/net-port.ts';
import type { NetSpec } from './device-spec.ts';
import { KeptState } from './kept-state.ts';
import type { MadeDevice } from './made-device.ts';

export function createNet(spec: NetSpec): MadeDevice {
  const { mac, mtu, wire } = spec;
  const offloads = wire.kind === 'tap';
  const kept = spec.kept && KeptState.open(spec.kept.fd);
  const onStateChange = () => kept?.write(encodeDeviceState(device));
  const device = new NetDevice(openPorts(spec), { mac: mac && Uint8Array.from(mac), mtu, offloads, onStateChange });
  const before = kept?.read();
  if (before !== undefined) decodeDeviceState(device, before);
  return { device };
}

function openPorts({ wire, pairs, address }: NetSpec): NetPort[] {
  if (wire.kind === 'stream') return [new StreamNetPort(wire.fd)];
  return tapPorts('queues' in wire ? wire.queues.map(({ fd }) => fd) : makeTap(wire.name, pairs, address));
}
