import { forwardedPort, ipv4, macAddress } from './network.ts';
import { pciAddress } from './pci-address.ts';
import {
  boolean,
  defaulted,
  integer,
  type KeyValues,
  keyValues,
  mapped,
  optional,
  several,
  text,
  type ValueSyntax,
} from './syntax.ts';

const descriptor = integer({ min: 3, max: 2 ** 31 - 1, metavar: 'N' });

const keys = {
  user: boolean('Use the sockets of the host, which takes no privilege but the program passt.'),
  forward: several(
    forwardedPort,
    "With user, a TCP port of the host's loopback interface that leads to one of the guest.",
  ),
  'tap-name': optional(text('NAME'), 'Use this TAP device of the host; it is made if there is none.'),
  'tap-fd': optional(descriptor, 'Use the TAP device that is open as this descriptor.'),
  'host-ip': optional(ipv4, "The address of the host's end of a TAP device that is made."),
  netmask: optional(ipv4, 'The netmask that goes with it.'),
  mac: optional(macAddress, "The guest's hardware address [default: the guest chooses]."),
  mtu: optional(
    integer({ min: 68, max: 65535, metavar: 'BYTES' }),
    'The largest packet [default: with user 65520, otherwise 1500].',
  ),
  'vq-pairs': defaulted(integer({ min: 1, max: 8 }), 1, 'Pairs of queues.'),
  'vhost-net': boolean("Let the host's kernel move the frames (/dev/vhost-net); needs a TAP device."),
  'pci-address': optional(pciAddress, 'Where it is on the PCI bus [default: the first free place].'),
};

/** A network card of a VM. What excludes or needs each other is for `planDevices` to check. */
export type NetOption = KeyValues<typeof keys>;

export const netSyntax: ValueSyntax<NetOption> = keyValues(keys);

/** A card of which nothing was said. */
export const BARE_CARD: NetOption = netSyntax.parse('vq-pairs=1');

export const tapNameSyntax: ValueSyntax<NetOption> = mapped(keys['tap-name'].syntax as ValueSyntax<string>, (name) => ({
  ...BARE_CARD,
  'tap-name': name,
}));

export const tapFdSyntax: ValueSyntax<NetOption> = mapped(descriptor, (fd) => ({ ...BARE_CARD, 'tap-fd': fd }));
