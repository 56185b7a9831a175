/** The network cards and the socket device of a VM. */
import { join } from 'node:path';
import type { NetOption } from '../../cli/options/net.ts';
import type { NetSpec, VsockSpec } from '../../device-process/device-spec.ts';
import { CrosvmError } from '../../errors.ts';
import type { VmConfig } from '../config.ts';

/** The name of a TAP device that is made; the kernel puts a number for %d. */
const NEW_TAP = 'crosvm%d';

/** `--net` and its short forms, and then the one of `--host_ip`. Throws `E_OPTION`. */
export function networkCards({ net, hostIp, netmask, mac }: VmConfig): { spec: NetSpec; slot: number | undefined }[] {
  const given = [hostIp, netmask, mac].filter((value) => value !== undefined).length;
  if (given === 0) return net.map(networkCard);
  if (given < 3) fail('--host_ip, --netmask and --mac belong together');
  const nothing = { 'tap-name': undefined, 'tap-fd': undefined, mtu: undefined, 'pci-address': undefined } as const;
  return [...net, { ...nothing, 'host-ip': hostIp, netmask, mac, 'vq-pairs': 1 }].map(networkCard);
}

function networkCard(option: NetOption): { spec: NetSpec; slot: number | undefined } {
  const { mac, mtu, netmask, 'host-ip': ip, 'tap-fd': fd, 'tap-name': name, 'vq-pairs': pairs } = option;
  if (fd !== undefined && (name !== undefined || ip !== undefined || pairs > 1)) {
    fail('a network card with tap-fd= has that open TAP device, so it takes neither tap-name=, host-ip= nor vq-pairs=');
  }
  if ((ip === undefined) !== (netmask === undefined)) fail('host-ip= and netmask= belong together');
  if (fd === undefined && name === undefined && ip === undefined)
    fail('a network card needs tap-name=, tap-fd= or host-ip=');
  const wire = { kind: 'tap' as const, ...(fd === undefined ? { name: name ?? NEW_TAP } : { fd }) };
  const address = ip && netmask && { ip, netmask };
  return { spec: { type: 'net', wire, pairs, mac, mtu, address }, slot: option['pci-address'] };
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
