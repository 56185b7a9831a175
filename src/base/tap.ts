/** TAP devices of the host: a network card for a guest whose wire is a network interface of the host. */
import { CrosvmError } from '../errors.ts';
import type { ScatterList } from '../memory/scatter-list.ts';
import { NET_HEADER_SIZE, type Offloads } from '../virtio/net/net-config.ts';
import type { NetPort } from '../virtio/net/net-port.ts';
import { close, closeAll, ioctl, O_NONBLOCK, O_RDWR, open, rawIoctl, setNonBlocking } from './fd.ts';
import { addressOf, check, libc } from './ffi.ts';
import { readScattered, writeScattered } from './scatter-io.ts';
import { SystemError } from './system-error.ts';

const TUNSETIFF = 0x400454ca;
const TUNSETOFFLOAD = 0x400454d0;
const TUNSETVNETHDRSZ = 0x400454d8;
const TUNSETQUEUE = 0x400454d9;

const IFF_TAP = 0x0002;
const IFF_MULTI_QUEUE = 0x0100;
const IFF_ATTACH_QUEUE = 0x0200;
const IFF_DETACH_QUEUE = 0x0400;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;

const TUN_F_CSUM = 1;
const TUN_F_TSO4 = 2;
const TUN_F_TSO6 = 4;
const TUN_F_TSO_ECN = 8;
const TUN_F_UFO = 16;

const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const SIOCSIFADDR = 0x8916;
const SIOCSIFNETMASK = 0x891c;
const IFF_UP = 1;

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;

/** sizeof(IFNAMSIZ), with the NUL; struct ifreq is the name and a union of 24 bytes. */
const NAME_SIZE = 16;
const IFREQ_SIZE = 40;

const cSocket = libc<(domain: number, type: number, protocol: number) => number>('int socket(int, int, int)');

/** An address that a new interface gets, as four numbers of a byte each. */
export interface InterfaceAddress {
  readonly ip: readonly number[];
  readonly netmask: readonly number[];
}

/**
 * Opens a TAP device, with a descriptor for each pair of queues. One of that `name` is used if there is one, and made,
 * until it is closed, if not; `%d` in the name is a number of the system's choice. The interface gets the address, if there
 * is one. Throws `E_TAP` without the permission for that.
 */
export function makeTap(name: string, pairs: number, address?: InterfaceAddress): number[] {
  const fds: number[] = [];
  let real = name;
  try {
    for (let i = 0; i < pairs; i++) {
      const fd = open('/dev/net/tun', O_RDWR | O_NONBLOCK);
      fds.push(fd);
      const flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (pairs > 1 ? IFF_MULTI_QUEUE : 0);
      real = attach(fd, real, flags);
    }
    if (address !== undefined) configureInterface(real, address);
    return fds;
  } catch (error) {
    closeAll(fds);
    throw error;
  }
}

/** The ports of a TAP device that is open (IFF_TAP, IFF_NO_PI, IFF_VNET_HDR), one for each queue; they become the ports'. */
export function tapPorts(fds: readonly number[]): NetPort[] {
  return fds.map((fd) => tapPort(fd, fds.length > 1));
}

function tapPort(fd: number, isOneOfSeveral: boolean): NetPort {
  prepareTap(fd);
  if (isOneOfSeveral) rawIoctl(fd, TUNSETQUEUE, addressOf(queueRequest(true))); // who had it before may have switched it off
  let isActive = true;
  return {
    fd,
    receive: (list: ScatterList) => receive(fd, list),
    send: (list: ScatterList) => send(fd, list),
    setOffloads: (offloads: Offloads) => setOffloads(fd, offloads),
    setActive(active: boolean) {
      if (!isOneOfSeveral || active === isActive) return;
      isActive = active;
      ioctl(fd, TUNSETQUEUE, addressOf(queueRequest(active)), 'TUNSETQUEUE');
    },
    close: () => close(fd),
  };
}

/** Gives an interface of the host its address and switches it on. Throws `E_TAP` without the permission for that. */
function configureInterface(name: string, { ip, netmask }: InterfaceAddress): void {
  const socket = check(cSocket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), 'socket');
  const request = interfaceRequest(name);
  const call = (code: number, what: string) => tapIoctl(socket, code, request.bytes, what, name);
  try {
    request.view.setUint16(NAME_SIZE, AF_INET, true);
    request.bytes.set(ip, NAME_SIZE + 4);
    call(SIOCSIFADDR, 'SIOCSIFADDR');
    request.bytes.set(netmask, NAME_SIZE + 4);
    call(SIOCSIFNETMASK, 'SIOCSIFNETMASK');
    call(SIOCGIFFLAGS, 'SIOCGIFFLAGS');
    request.view.setUint16(NAME_SIZE, request.view.getUint16(NAME_SIZE, true) | IFF_UP, true);
    call(SIOCSIFFLAGS, 'SIOCSIFFLAGS');
  } finally {
    close(socket);
  }
}

/** struct ifreq that switches a queue on or off. */
function queueRequest(active: boolean): Uint8Array {
  const { bytes, view } = interfaceRequest('');
  view.setUint16(NAME_SIZE, active ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE, true);
  return bytes;
}

/** The name of the interface that the descriptor is attached to now. */
function attach(fd: number, name: string, flags: number): string {
  const { bytes, view } = interfaceRequest(name);
  view.setUint16(NAME_SIZE, flags, true);
  tapIoctl(fd, TUNSETIFF, bytes, 'TUNSETIFF', name);
  return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
}

function interfaceRequest(name: string): { bytes: Uint8Array<ArrayBuffer>; view: DataView } {
  const text = new TextEncoder().encode(name);
  if (text.length >= NAME_SIZE)
    throw new CrosvmError('E_TAP', `the name of an interface has up to 15 bytes, "${name}" has more`);
  const bytes = new Uint8Array(IFREQ_SIZE);
  bytes.set(text);
  return { bytes, view: new DataView(bytes.buffer) };
}

function tapIoctl(fd: number, request: number, bytes: Uint8Array, call: string, name: string): void {
  try {
    ioctl(fd, request, addressOf(bytes), call);
  } catch (error) {
    const reason = error instanceof SystemError ? REASONS[error.errno] : undefined;
    if (reason === undefined) throw error;
    throw new CrosvmError('E_TAP', `the TAP device ${name} cannot be used: ${reason}`, { cause: error });
  }
}

const REASONS: Readonly<Record<string, string>> = {
  EPERM: 'that needs the capability CAP_NET_ADMIN',
  EBUSY: 'another program uses it',
  EINVAL: 'it is no TAP device, or one with another number of queues',
};

/** Makes a TAP device that somebody has opened what a network card of ours, or the kernel's, takes. */
export function prepareTap(fd: number): void {
  setNonBlocking(fd, true);
  setHeaderSize(fd);
}

function setHeaderSize(fd: number): void {
  const size = Int32Array.of(NET_HEADER_SIZE);
  ioctl(fd, TUNSETVNETHDRSZ, addressOf(size), 'TUNSETVNETHDRSZ');
}

/** Systems without fragmentation offload for UDP do not know its flag. */
export function setOffloads(fd: number, { checksum, tso4, tso6, ecn, ufo }: Offloads): void {
  const flags =
    (checksum ? TUN_F_CSUM : 0) | (tso4 ? TUN_F_TSO4 : 0) | (tso6 ? TUN_F_TSO6 : 0) | (ecn ? TUN_F_TSO_ECN : 0);
  if (ufo && rawIoctl(fd, TUNSETOFFLOAD, flags | TUN_F_UFO) === 0) return;
  if (rawIoctl(fd, TUNSETOFFLOAD, flags) === -1) rawIoctl(fd, TUNSETOFFLOAD, 0);
}

/** An interface that is gone or switched off has no frames. */
function receive(fd: number, list: ScatterList): number {
  try {
    return readScattered(fd, list);
  } catch (error) {
    if (error instanceof SystemError) return -1;
    throw error;
  }
}

/** The system checks what a guest says in the header, and refuses frames that cannot be; those are lost. */
function send(fd: number, list: ScatterList): boolean {
  try {
    return writeScattered(fd, list) !== -1;
  } catch (error) {
    if (error instanceof SystemError) return true;
    throw error;
  }
}
