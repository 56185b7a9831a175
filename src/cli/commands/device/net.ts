import type { NetSpec, NetWire } from '../../../device-process/device-spec.ts';
import type { userNetwork } from '../../../device-process/user-network.ts';
import { CrosvmError } from '../../../errors.ts';
import { command } from '../../command.ts';
import { frontEndOptions } from '../../options/front-end.ts';
import { forwardedPort, ipv4, macAddress } from '../../options/network.ts';
import { flag, list, value, valueOr } from '../../options/option.ts';
import { integer, text } from '../../options/syntax.ts';
import { serveDevice } from './serve.ts';

export const deviceNet = command({
  name: 'device net',
  summary: 'A network card.',
  description:
    'Runs a network card until its front end goes away. Its wire is a TAP device of the host: without --tap-name or ' +
    '--tap-fd one is made, which needs the capability CAP_NET_ADMIN. --user needs none.',
  options: {
    tapName: value({
      section: 'Device',
      syntax: text('NAME'),
      help: 'Use this TAP device; it is made if there is none.',
    }),
    tapFd: value({
      section: 'Device',
      syntax: integer({ min: 0, max: 2 ** 31 - 1, metavar: 'N' }),
      help: 'Use the TAP device that is open as this descriptor, with IFF_NO_PI and IFF_VNET_HDR.',
    }),
    user: flag({
      section: 'Device',
      help: 'No wire, but the sockets of the host, without any privilege: through the program passt, with DHCP and DNS.',
    }),
    forward: list({
      section: 'Device',
      syntax: forwardedPort,
      help: "With --user, a TCP port of the host's loopback interface that leads to one of the guest.",
    }),
    hostIp: value({ section: 'Device', aliases: ['host_ip'], syntax: ipv4, help: "The address of the host's end." }),
    netmask: value({ section: 'Device', syntax: ipv4, help: "The netmask of the host's end." }),
    mac: value({
      section: 'Device',
      syntax: macAddress,
      help: "The guest's hardware address [default: the guest chooses].",
    }),
    mtu: value({
      section: 'Device',
      syntax: integer({ min: 68, max: 65535, metavar: 'BYTES' }),
      help: 'The largest packet [default: with --user 65520, otherwise the guest takes 1500].',
    }),
    vqPairs: valueOr({
      section: 'Device',
      syntax: integer({ min: 1, max: 8 }),
      fallback: 1,
      help: 'Pairs of queues.',
    }),
    ...frontEndOptions,
  },
  positionals: [],
  examples: [
    'crosvm device net --socket-path /run/net.sock --tap-name tap0',
    'crosvm device net --socket-path /run/net.sock --user --forward 2222:22',
    'crosvm device net --socket-path /run/net.sock --host-ip 10.0.0.1 --netmask 255.255.255.0',
  ],
  async run({ tapName, tapFd, user, forward, hostIp, netmask, mac, mtu, vqPairs, ...frontEnd }, _positionals, output) {
    const isUser = user || forward.length > 0;
    if (isUser && (tapName ?? tapFd ?? hostIp) !== undefined) {
      fail('--user is without a TAP device of the host, so without --tap-name, --tap-fd and --host-ip');
    }
    if (isUser && vqPairs > 1) fail('--user has one pair of queues');
    if (tapFd !== undefined && tapName !== undefined) fail('--tap-name and --tap-fd exclude each other');
    if (tapFd !== undefined && (vqPairs > 1 || hostIp !== undefined)) {
      fail('--tap-fd is one open TAP device, so it has one pair of queues, and its address already');
    }
    if ((hostIp === undefined) !== (netmask === undefined)) fail('--host-ip and --netmask belong together');
    const address = hostIp && netmask && { ip: hostIp, netmask };
    const card = { type: 'net', pairs: vqPairs, mac, mtu, address } as const;
    const spec: NetSpec = isUser ? await userCard(card, forward) : { ...card, wire: tapWire(tapName, tapFd) };
    return serveDevice(spec, frontEnd, output);
  },
});

function tapWire(name: string | undefined, fd: number | undefined): NetWire {
  return fd === undefined ? { kind: 'tap', name: name ?? 'crosvm%d' } : { kind: 'tap', queues: [{ fd }] };
}

async function userCard(...words: Parameters<typeof userNetwork>): Promise<NetSpec> {
  const program = await import('../../../device-process/user-network.ts');
  return (await program.userNetwork(...words)).spec;
}

function fail(message: string): never {
  throw new CrosvmError('E_USAGE', message);
}
