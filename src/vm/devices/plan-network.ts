/** The network cards and the socket device of a VM. */
import { join } from 'node:path';
import { BARE_CARD, type NetOption } from '../../cli/options/net.ts';
import type { VsockSpec } from '../../device-process/device-spec.ts';
import { CrosvmError } from '../../errors.ts';
import type { VmConfig } from '../config.ts';
import type { DeviceSource } from './plan.ts';

/** The name of a TAP device that is made; the kernel puts a number for %d. */
const NEW_TAP = 'crosvm%d';

interface PlannedCard {
  readonly source: DeviceSource;
  readonly slot: number | undefined;
}

/** `--net` and its short forms, and then the one of `--host_ip`. Throws `E_OPTION`. */
export function networkCards({ net, hostIp, netmask, mac }: VmConfig): PlannedCard[] {
  const given = [hostIp, netmask, mac].filter((value) => value !== undefined).length;
  if (given === 0) return net.map(networkCard);
  if (given < 3) fail('--host_ip, --netmask and --mac belong together');
  return [...net, { ...BARE_CARD, 'host-ip': hostIp, netmask, mac }].map(networkCard);
}

function networkCard(option: NetOption): PlannedCard {
  const source = option.user ? userCard(option) : tapCard(option);
  return { source, slot: option['pci-address'] };
}

function userCard({ forward: forwards, mac, mtu, 'vq-pairs': pairs, ...option }: NetOption): DeviceSource {
  if ((option['tap-name'] ?? option['tap-fd'] ?? option['host-ip'] ?? option.netmask) !== undefined || pairs > 1) {
    fail(
      'a network card with user has no TAP device, so it takes neither tap-name=, tap-fd=, host-ip=, netmask= nor vq-pairs=',
    );
  }
  return { kind: 'user-network', card: { type: 'net', pairs, mac, mtu }, forwards };
}

function tapCard(option: NetOption): DeviceSource {
  const { mac, mtu, netmask, 'host-ip': ip, 'tap-fd': fd, 'tap-name': name, 'vq-pairs': pairs } = option;
  if (fd !== undefined && (name !== undefined || ip !== undefined || pairs > 1)) {
    fail('a network card with tap-fd= has that open TAP device, so it takes neither tap-name=, host-ip= nor vq-pairs=');
  }
  if (option.forward.length > 0) fail('forward= is for a network card with user');
  if ((ip === undefined) !== (netmask === undefined)) fail('host-ip= and netmask= belong together');
  if (fd === undefined && name === undefined && ip === undefined)
    fail('a network card needs user, tap-name=, tap-fd= or host-ip=');
  const wire = { kind: 'tap' as const, ...(fd === undefined ? { name: name ?? NEW_TAP } : { queues: [{ fd }] }) };
  const address = ip && netmask && { ip, netmask };
  return { kind: 'own', spec: { type: 'net', wire, pairs, mac, mtu, address } };
}

/** `--vsock`. Throws `E_OPTION` if there is no place for its sockets. */
export function socketDevices({ vsock }: VmConfig): { spec: VsockSpec; slot: number | undefined }[] {
  if (vsock === undefined) return [];
  const { cid, path = defaultPath(cid), 'pci-address': slot } = vsock;
  return [{ spec: { type: 'vsock', cid, path }, slot }];
}

function defaultPath(cid: number): string {
  const folder = process.env['XDG_RUNTIME_DIR'];
  if (folder === undefined || folder === '')
    fail('there is no folder for sockets (XDG_RUNTIME_DIR): give --vsock a path=');
  return join(folder, `crosvm-vsock-${cid}`);
}

function fail(message: string): never {
  throw new CrosvmError('E_OPTION', message);
}
