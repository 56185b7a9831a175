/** What a device of ours is made from, as the user has described it. */
import type { ForwardedPort } from '../../base/passt.ts';
import type { InterfaceAddress } from '../../base/tap.ts';
import type {
  BalloonSpec,
  DiskRequest,
  FsSpec,
  NetSpec,
  P9Spec,
  PmemSpec,
  RngSpec,
} from '../../device-process/device-spec.ts';
import type { SerialPortConfig } from '../serial-ports.ts';

/** A network card without its wire. */
export type BareCard = Omit<NetSpec, 'wire'>;

export type OwnSource =
  /** What needs nothing of the host, or has it in its specification. */
  | { readonly kind: 'plain'; readonly spec: FsSpec | P9Spec | PmemSpec | RngSpec }
  | { readonly kind: 'balloon'; readonly spec: BalloonSpec }
  | { readonly kind: 'disk'; readonly disk: DiskRequest }
  | { readonly kind: 'console'; readonly port: SerialPortConfig }
  /** A console of several ports, which are files of the host. */
  | { readonly kind: 'console-files'; readonly ports: readonly ConsoleFilePort[] }
  | TapSource
  /** Connected to the host's sockets by a program that is started whenever the device is. */
  | { readonly kind: 'user-network'; readonly card: BareCard; readonly forwards: readonly ForwardedPort[] }
  | VsockSource;

export interface ConsoleFilePort {
  /** By what the guest finds it; may be empty. */
  readonly name: string;
  /** A terminal of the guest, not just a channel. */
  readonly isConsole: boolean;
  /** Paths. */
  readonly input: string | undefined;
  readonly output: string | undefined;
}

/** A network card on a TAP device: one that is open, or one by name, which is made if there is none. */
export interface TapSource {
  readonly kind: 'tap';
  readonly card: BareCard;
  readonly tap: { readonly fd: number } | { readonly name: string; readonly pairs: number };
  /** What the host's end of the wire gets. */
  readonly address?: InterfaceAddress | undefined;
}

export interface VsockSource {
  readonly kind: 'vsock';
  /** The guest's address, 3 or more. */
  readonly cid: number;
  /** Where programs of the host connect; with `_PORT` behind it, where services of the host listen. */
  readonly path: string;
}
