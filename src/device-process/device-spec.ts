/** What a device process is told to be. It travels as JSON. */
import type { DiskFormat } from '../disk/disk.ts';
import type { ImageTrust } from '../disk/image-trust.ts';
import type { P9Options } from '../p9/p9-options.ts';
import type { FsSetup } from '../virtio/fs/fs-device.ts';
import type { ShareUsers } from './share-users.ts';

/**
 * Where what the guest writes to a disk goes, if not to its image: to a qcow2 image, which is made if it is not there; or
 * to a temporary file.
 */
export type OverlaySpec = { readonly kind: 'file'; readonly path: string } | { readonly kind: 'temporary' };

/** How requests to a disk are carried out: by io_uring, many at a time; or by the device's own loop, one after the other. */
export const DISK_EXECUTORS = ['uring', 'epoll'] as const;
export type DiskExecutor = (typeof DISK_EXECUTORS)[number];

/** A disk that somebody wants. */
export interface DiskRequest {
  /** The disk image. */
  readonly path: string;
  /** Told by the contents if it is not given. */
  readonly format?: DiskFormat | undefined;
  /** What the image may make us open. */
  readonly trust: ImageTrust;
  readonly overlay?: OverlaySpec | undefined;
  readonly writable: boolean;
  /** Discards of the guest give space back. */
  readonly sparse: boolean;
  /** In bytes, a power of two from 512. */
  readonly blockSize: number;
  /** The serial number, up to 20 bytes. */
  readonly id: string;
  readonly queues: number;
  /** Past the host's page cache. */
  readonly direct: boolean;
  /** If nobody asked for one, what `preferredExecutor` says, where that is possible. */
  readonly executor?: DiskExecutor | undefined;
  /** Keeps other programs of ours from the image, and from writing it if it is read only. */
  readonly lock: boolean;
}

/** A file that is open, and once more if it is to be used past the page cache. */
export interface OpenFile {
  readonly descriptors: readonly { readonly fd: number }[];
}

export interface BlockSpec extends DiskRequest {
  readonly type: 'block';
  /** The image, and where it really is. */
  readonly image: OpenFile & { readonly realPath: string };
  /** What `overlay` describes. */
  readonly written?: OpenFile | undefined;
  /**
   * Who opens the files that the image refers to (file-broker.ts), for a process that cannot do that itself; a socket of
   * type SOCK_SEQPACKET.
   */
  readonly broker?: { readonly fd: number } | undefined;
  /** A memfd of TABLE_LOGS_SIZE bytes: what is not in the tables of qcow2 images yet survives the process there. */
  readonly tableLogs?: { readonly fd: number } | undefined;
}

export interface PmemSpec {
  readonly type: 'pmem';
  /** The file, which is memory of the guest already. */
  readonly fd: number;
  /** Where it is there: guest physical address, and size in bytes. */
  readonly start: number;
  readonly size: number;
}

export interface RngSpec {
  readonly type: 'rng';
}

export interface ConsolePortSpec {
  /** By what the guest finds it; may be empty. */
  readonly name: string;
  /** A terminal of the guest, not just a channel. */
  readonly isConsole: boolean;
  readonly input: { readonly fd: number } | undefined;
  /** Without one, what the guest writes is lost. */
  readonly output: ConsoleOutputSpec | undefined;
}

/** A file, a pipe or a terminal; or a socket that leads to who takes datagrams, or to the system's log. */
export type ConsoleOutputSpec =
  | { readonly kind: 'stream' | 'datagrams'; readonly fd: number }
  | { readonly kind: 'syslog'; readonly fd: number; readonly tag: string };

export interface ConsoleSpec {
  readonly type: 'console';
  /** At least one. */
  readonly ports: readonly ConsolePortSpec[];
}

export interface BalloonSpec {
  readonly type: 'balloon';
  /** The guest may take memory back when it has no other. */
  readonly deflateOnOom: boolean;
  /** The guest gives back what it does not use, without being asked. */
  readonly pageReporting: boolean;
  /** Bytes that the balloon is to take from the start. */
  readonly size: number;
  /** A memfd of KEPT_STATE_SIZE bytes (kept-state.ts), for what it is asked for and what it has. */
  readonly kept?: { readonly fd: number } | undefined;
}

/** What the card is connected to: a TAP device, open once for each pair of queues; or a stream socket, as passt speaks it. */
export type NetWire =
  | { readonly kind: 'tap'; readonly queues: readonly { readonly fd: number }[] }
  | { readonly kind: 'stream'; readonly fd: number };

export interface NetSpec {
  readonly type: 'net';
  readonly wire: NetWire;
  /** The guest's hardware address, six bytes. */
  readonly mac?: readonly number[] | undefined;
  readonly mtu?: number | undefined;
  /** A memfd of KEPT_STATE_SIZE bytes (kept-state.ts), for what the driver has told the device. */
  readonly kept?: { readonly fd: number } | undefined;
}

export interface VsockSpec {
  readonly type: 'vsock';
  /** The guest's address, 3 or more. */
  readonly cid: number;
  /** With `_PORT` behind it, where services of the host listen; absolute. */
  readonly path: string;
  /** A socket at which programs of the host connect. */
  readonly listener: { readonly fd: number };
}

/** A folder of the host for the guest. */
export interface FolderSpec extends ShareUsers {
  readonly path: string;
  /** By what the guest mounts it. */
  readonly tag: string;
  /** As `OpenFolderOptions`. */
  readonly keepOwners?: boolean;
  readonly rewriteSecurity?: boolean;
  /** As `RootOfShare`. */
  readonly followsMounts?: boolean;
}

export interface FsSpec extends FolderSpec, FsSetup {
  readonly type: 'fs';
}

export interface P9Spec extends FolderSpec {
  readonly type: '9p';
  readonly options: P9Options;
}

export function sharesFolder(spec: DeviceSpec): spec is FsSpec | P9Spec {
  return spec.type === 'fs' || spec.type === '9p';
}

/** In the page cache most requests end at once, and the ring only costs. */
export function preferredExecutor({ executor, direct }: Pick<DiskRequest, 'executor' | 'direct'>): DiskExecutor {
  return executor ?? (direct ? 'uring' : 'epoll');
}

export type DeviceSpec =
  | BalloonSpec
  | BlockSpec
  | ConsoleSpec
  | FsSpec
  | NetSpec
  | P9Spec
  | PmemSpec
  | RngSpec
  | VsockSpec;
