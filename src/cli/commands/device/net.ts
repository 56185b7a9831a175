import { CrosvmError } from '../../../errors.ts';
import { command } from '../../command.ts';
import { frontEndOptions } from '../../options/front-end.ts';
import { ipv4, macAddress } from '../../options/network.ts';
import { value, valueOr } from '../../options/option.ts';
import { integer, text } from '../../options/syntax.ts';
import { serveDevice } from './serve.ts';

export const deviceNet = command({
  name: 'device net',
  summary: 'A network card.',
  description:
    'Runs a network card, whose wire is a TAP device of the host, until its front end goes away. Without --tap-name or ' +
    '--tap-fd a TAP device is made, which needs the capability CAP_NET_ADMIN.',
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
      help: 'The largest packet [default: the guest takes 1500].',
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
    'crosvm device net --socket-path /run/net.sock --host-ip 10.0.0.1 --netmask 255.255.255.0',
  ],
  run({ tapName, tapFd, hostIp, netmask, mac, mtu, vqPairs, ...frontEnd }, _positionals, output) {
    if (tapFd !== undefined && tapName !== undefined) fail('--tap-name and --tap-fd exclude each other');
    if (tapFd !== undefined && (vqPairs > 1 || hostIp !== undefined)) {
      fail('--tap-fd is one open TAP device, so it has one pair of queues, and its address already');
    }
    if ((hostIp === undefined) !== (netmask === undefined)) fail('--host-ip and --netmask belong together');
    const tap = tapFd === undefined ? { name: tapName ?? 'crosvm%d' } : { fd: tapFd };
    const address = hostIp && netmask && { ip: hostIp, netmask };
    return serveDevice({ type: 'net', tap, pairs: vqPairs, mac, mtu, address }, frontEnd, output);
  },
});

function fail(message: string): never {
  throw new CrosvmError('E_USAGE', message);
}
