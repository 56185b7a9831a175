import { CrosvmError } from '../../../errors.ts';
import { NEW_TAP } from '../../../vm/devices/plan-network.ts';
import { command } from '../../command.ts';
import { forwardedPort, ipv4, macAddress } from '../../options/network.ts';
import { flag, list, value, valueOr } from '../../options/option.ts';
import { integer, text } from '../../options/syntax.ts';
import { deviceOptions, serveDevice } from './serve.ts';

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
    ...deviceOptions,
  },
  positionals: [],
  examples: [
    'crosvm device net --socket-path /run/net.sock --tap-name tap0',
    'crosvm device net --socket-path /run/net.sock --user --forward 2222:22',
    'crosvm device net --socket-path /run/net.sock --host-ip 10.0.0.1 --netmask 255.255.255.0',
  ],
  run({ tapName, tapFd, user, forward, hostIp, netmask, mac, mtu, vqPairs, ...frontEnd }, _positionals, output) {
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
    const card = { type: 'net', mac, mtu } as const;
    if (isUser) return serveDevice({ kind: 'user-network', card, forwards: forward }, frontEnd, output);
    const tap = tapFd === undefined ? { name: tapName ?? NEW_TAP, pairs: vqPairs } : { fd: tapFd };
    const address = hostIp && netmask && { ip: hostIp, netmask };
    return serveDevice({ kind: 'tap', card, tap, address }, frontEnd, output);
  },
});

function fail(message: string): never {
  throw new CrosvmError('E_USAGE', message);
}
