import { configureInterface, openTap, tapPort } from '../base/tap.ts';
import { NetDevice } from '../virtio/net/net-device.ts';
import type { NetPort } from '../virtio/net/net-port.ts';
import type { NetSpec } from './device-spec.ts';
import type { MadeDevice } from './made-device.ts';

export function createNet(spec: NetSpec): MadeDevice {
  const { mac, mtu } = spec;
  return { device: new NetDevice(openPorts(spec), { mac: mac && Uint8Array.from(mac), mtu }) };
}

function openPorts({ tap, pairs, address }: NetSpec): NetPort[] {
  if ('fd' in tap) return [tapPort(tap.fd)];
  const { ports, name } = openTap(tap.name, pairs);
  try {
    if (address !== undefined) configureInterface(name, address);
    return ports;
  } catch (error) {
    for (const port of ports) port.close();
    throw error;
  }
}
