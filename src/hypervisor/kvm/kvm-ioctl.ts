import { rawIoctl } from '../../base/fd.ts';
import { addressOf, EINTR, errno } from '../../base/ffi.ts';
import { SystemError } from '../../base/system-error.ts';
import * as ioctls from './ioctls.ts';
import { type StructLayout, StructView } from './struct-layout.ts';

const NAMES = new Map(Object.entries(ioctls).map(([name, request]) => [request, name]));

/** The name of a request, for messages. */
export function ioctlName(request: number): string {
  return NAMES.get(request) ?? `0x${request.toString(16)}`;
}

/** Bytes that a system call can be pointed at, and where they lie. */
export interface NativeArgument {
  readonly bytes: Uint8Array;
  readonly address: number;
}

/** What the last call points at. An address alone keeps nothing alive: without this, bytes could go during the call. */
let inUse: NativeArgument | number = 0;

/** ioctl(2) on a descriptor of KVM, again when a signal interrupts it. Throws `SystemError`. Not for KVM_RUN. */
export function kvmIoctl(fd: number, request: number, argument: NativeArgument | number = 0): number {
  inUse = argument;
  for (;;) {
    const result = rawIoctl(fd, request, typeof inUse === 'number' ? inUse : inUse.address);
    if (result !== -1) return result;
    const reason = errno();
    if (reason !== EINTR) throw new SystemError(`ioctl(${ioctlName(request)})`, reason);
  }
}

/** A struct, zero at first, that a system call can be pointed at. */
export class NativeStruct<Name extends string> extends StructView<Name> implements NativeArgument {
  /** Where it lies; valid while this object is reachable. */
  readonly address: number;
  /** Bytes after the struct: the elements of its flexible array. */
  readonly tail: Uint8Array;

  constructor(layout: StructLayout<Name>, tailBytes = 0) {
    const all = new Uint8Array(layout.size + tailBytes);
    super(layout, all);
    this.address = addressOf(all);
    this.tail = all.subarray(layout.size);
  }
}
