/** The network cards and the socket device of a VM. */
import { join } from 'node:path';
import { BARE_CARD, type NetOption } from '../../cli/options/net.ts';
import { CrosvmError } from '../../errors.ts';
import type { VmConfig } from '../config.ts';
import type { KernelSource, VhostNetSource } from './kernel-source.ts';
import type { OwnSource, TapSource } from './own-source.ts';

/** The name of a TAP device that is made; the kernel puts a number for %d. */
export const NEW_TAP = 'crosvm%d';

/** The host kernel's device for sockets of guests. */
const VHOST_VSOCK = '/dev/vhost-vsock';

interface PlannedDevice {
  readonly source: OwnSource | KernelSource;
  readonly slot: number | undefined;
}

/** `--net` and its short forms, and then the one of `--host_ip`. Throws `E_OPTION`. */
export function networkCards({ net, hostIp, netmask, mac, vhostNet, vhostNetDevice }: VmConfig): PlannedDevice[] {
  const given = [hostIp, netmask, mac].filter((value) => value !== undefined).length;
  if (given > 0 && given < 3) fail('--host_ip, --netmask and --mac belong together');
  const cards = given === 0 ? net : [...net, { ...BARE_CARD, 'host-ip': hostIp, netmask, mac }];
  return cards.map((option) => {
    const inKernel = !option.user && (vhostNet || option['vhost-net']);
    const source = option.user ? userCard(option) : tapCard(option);
    return { source: inKernel ? kernelCard(source as TapSource, vhostNetDevice) : source, slot: option['pci-address'] };
  });
}

function kernelCard({ kind: _, ...card }: TapSource, device: string): VhostNetSource {
  if ('pairs' in card.tap && card.tap.pairs > 1) fail('a network card with vhost-net has one pair of queues');
  return { ...card, kind: 'vhost-net', device };
}

function userCard({ forward: forwards, mac, mtu, 'vq-pairs': pairs, ...option }: NetOption): OwnSource {
  if (option['vhost-net']) fail('a network card with user has no TAP device, so vhost-net is not for it');
  if ((option['tap-name'] ?? option['tap-fd'] ?? option['host-ip'] ?? option.netmask) !== undefined || pairs > 1) {
    fail(
      'a network card with user has no TAP device, so it takes neither tap-name=, tap-fd=, host-ip=, netmask= nor vq-pairs=',
    );
  }
  return { kind: 'user-network', card: { type: 'net', mac, mtu }, forwards };
}

function tapCard(option: NetOption): OwnSource {
  const { mac, mtu, netmask, 'host-ip': ip, 'tap-fd': fd, 'tap-name': name, 'vq-pairs': pairs } = option;
  if (fd !== undefined && (name !== undefined || ip !== undefined || pairs > 1)) {
    fail('a network card with tap-fd= has that open TAP device, so it takes neither tap-name=, host-ip= nor vq-pairs=');
  }
  if (option.forward.length > 0) fail('forward= is for a network card with user');
  if ((ip === undefined) !== (netmask === undefined)) fail('host-ip= and netmask= belong together');
  if (fd === undefined && name === undefined && ip === undefined)
    fail('a network card needs user, tap-name=, tap-fd= or host-ip=');
  const tap = fd === undefined ? { name: name ?? NEW_TAP, pairs } : { fd };
  const address = ip && netmask && { ip, netmask };
  return { kind: 'tap', card: { type: 'net', mac, mtu }, tap, address };
}

/** `--vsock`. Throws `E_OPTION` if there is no place for its sockets, or one that is of no use. */
export function socketDevices({ vsock, vhostVsockDevice, vhostVsockFd }: VmConfig): PlannedDevice[] {
  const given = [vsock?.device, vhostVsockDevice, vhostVsockFd].filter((device) => device !== undefined);
  if (given.length > 1) fail('more than one vhost device is given for the sockets of the guest');
  if (vsock === undefined) {
    if (given.length > 0) fail('a vhost device for sockets needs --vsock, which says what address the guest has');
    return [];
  }
  const { cid, path, 'pci-address': slot } = vsock;
  const [named] = given;
  if (path !== undefined) {
    if (named !== undefined) fail('sockets of the kernel are at no path=: give either that or a vhost device');
    return [{ source: { kind: 'vsock', cid, path }, slot }];
  }
  const otherPath = defaultPath(cid);
  const otherwise = otherPath === undefined ? undefined : { kind: 'vsock' as const, cid, path: otherPath };
  const device = named ?? VHOST_VSOCK;
  return [{ source: { kind: 'vhost-vsock', cid, device, isNamed: named !== undefined, otherwise }, slot }];
}

function defaultPath(cid: number): string | undefined {
  const folder = process.env['XDG_RUNTIME_DIR'];
  return folder === undefined || folder === '' ? undefined : join(folder, `crosvm-vsock-${cid}`);
}

function fail(message: string): never {
  throw new CrosvmError('E_OPTION', message);
}
