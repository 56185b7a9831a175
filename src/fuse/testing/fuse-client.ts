import { LOCK_END } from '../../host-folder/attributes.ts';
import { bytesList } from '../../memory/bytes-list.ts';
import type { FuseServer } from '../fuse-server.ts';
import * as protocol from '../protocol.ts';
import { IN_HEADER_SIZE, OUT_HEADER_SIZE } from '../protocol.ts';

/** What carries a request to a server and its answer back: `room` is how long that may be. Undefined without an answer. */
export type FuseTransport = (request: Uint8Array, room: number) => Uint8Array | undefined;

export interface FuseAnswer {
  /** 0 or a negative errno. */
  readonly error: number;
  readonly payload: DataView;
}

/** A node that a look-up has found. */
export interface FuseNode {
  readonly nodeid: number;
  readonly mode: number;
  readonly size: number;
}

const DEFAULT_ROOM = 4096;

/** Straight to a server, without a queue. */
export function directTransport(server: FuseServer): FuseTransport {
  return (request, room) => {
    const answer = new Uint8Array(room);
    const length = server.handle(bytesList(request), bytesList(answer));
    return length <= 0 ? undefined : answer.subarray(0, length);
  };
}

/** The guest's end of the protocol, for tests and measurements. What goes wrong throws, but in `call`. */
export class FuseClient {
  readonly #transport: FuseTransport;
  #unique = 1n;
  uid = 0;
  gid = 0;
  /** At the end of each request (total_extlen), in bytes: a multiple of 8. */
  extensions = 0;

  constructor(transport: FuseTransport) {
    this.#transport = transport;
  }

  /** Sends a request and waits for its answer; undefined if there is none. */
  call(opcode: number, nodeid: number, args: Uint8Array, room = DEFAULT_ROOM): FuseAnswer | undefined {
    const answer = this.#transport(this.encode(opcode, nodeid, args), room);
    if (answer === undefined) return undefined;
    const view = new DataView(answer.buffer, answer.byteOffset, answer.length);
    return {
      error: view.getInt32(4, true),
      payload: new DataView(answer.buffer, answer.byteOffset + OUT_HEADER_SIZE, answer.length - OUT_HEADER_SIZE),
    };
  }

  /** A request as it is sent. */
  encode(opcode: number, nodeid: number, args: Uint8Array): Uint8Array {
    const request = new Uint8Array(IN_HEADER_SIZE + args.length);
    const view = new DataView(request.buffer);
    view.setUint32(0, request.length, true);
    view.setUint32(4, opcode, true);
    view.setBigUint64(8, this.#unique++, true);
    view.setBigUint64(16, BigInt(nodeid), true);
    view.setUint32(24, this.uid, true);
    view.setUint32(28, this.gid, true);
    view.setUint16(36, this.extensions / 8, true);
    request.set(args, IN_HEADER_SIZE);
    return request;
  }

  /** The same, of one that has to succeed. */
  ask(opcode: number, nodeid: number, args: Uint8Array, room = DEFAULT_ROOM): DataView {
    const answer = this.call(opcode, nodeid, args, room);
    if (answer === undefined) throw new Error(`request ${opcode} was not answered`);
    if (answer.error !== 0) throw new Error(`request ${opcode} failed with ${answer.error}`);
    return answer.payload;
  }

  /** INIT as Linux 6.12 does it, with all flags that there are; returns those that were agreed on. */
  init(minor: number = protocol.FUSE_MINOR): {
    readonly minor: number;
    readonly flags: number;
    readonly flags2: number;
  } {
    const answer = this.ask(protocol.FUSE_INIT, 0, args(7, minor, 65536, 0xffff_ffff, 0xffff_ffff, ...zeroes(11)));
    return { minor: answer.getUint32(4, true), flags: answer.getUint32(12, true), flags2: answer.getUint32(32, true) };
  }

  lookup(parent: number, name: string): FuseNode {
    return nodeOf(this.ask(protocol.FUSE_LOOKUP, parent, text(name)));
  }

  forget(nodeid: number, count: number): void {
    this.call(protocol.FUSE_FORGET, nodeid, args(count, 0), 0);
  }

  attributes(nodeid: number): FuseNode {
    return attributesOf(nodeid, this.ask(protocol.FUSE_GETATTR, nodeid, args(0, 0, 0, 0)), 16);
  }

  create(parent: number, name: string, flags: number, mode: number): { node: FuseNode; file: number } {
    const answer = this.ask(protocol.FUSE_CREATE, parent, join(args(flags, mode, 0o22, 0), text(name)));
    return { node: nodeOf(answer), file: Number(answer.getBigUint64(128, true)) };
  }

  makeDirectory(parent: number, name: string, mode = 0o755): FuseNode {
    return nodeOf(this.ask(protocol.FUSE_MKDIR, parent, join(args(mode, 0), text(name))));
  }

  unlink(parent: number, name: string): void {
    this.ask(protocol.FUSE_UNLINK, parent, text(name));
  }

  open(nodeid: number, flags: number): number {
    return Number(this.ask(protocol.FUSE_OPEN, nodeid, args(flags, 0)).getBigUint64(0, true));
  }

  release(nodeid: number, file: number): void {
    this.ask(protocol.FUSE_RELEASE, nodeid, args(file, 0, 0, 0, 0, 0));
  }

  read(nodeid: number, file: number, offset: number, length: number): Uint8Array {
    const answer = this.ask(protocol.FUSE_READ, nodeid, transferArgs(file, offset, length), length + OUT_HEADER_SIZE);
    return new Uint8Array(answer.buffer, answer.byteOffset, answer.byteLength);
  }

  write(nodeid: number, file: number, offset: number, data: Uint8Array): number {
    const request = join(transferArgs(file, offset, data.length), data);
    return this.ask(protocol.FUSE_WRITE, nodeid, request).getUint32(0, true);
  }

  /** Names in a folder, `.` and `..` among them. */
  readDirectory(nodeid: number, room = DEFAULT_ROOM): string[] {
    const file = Number(this.ask(protocol.FUSE_OPENDIR, nodeid, args(0, 0)).getBigUint64(0, true));
    const names: string[] = [];
    for (let cookie = 0n; ; ) {
      const request = transferArgs(file, 0, room);
      new DataView(request.buffer).setBigUint64(8, cookie, true);
      const answer = this.ask(protocol.FUSE_READDIR, nodeid, request, room + OUT_HEADER_SIZE);
      if (answer.byteLength === 0) break;
      for (let at = 0; at < answer.byteLength; ) {
        const length = answer.getUint32(at + 16, true);
        names.push(Buffer.from(answer.buffer, answer.byteOffset + at + 24, length).toString());
        cookie = answer.getBigUint64(at + 8, true);
        at += (24 + length + 7) & ~7;
      }
    }
    this.ask(protocol.FUSE_RELEASEDIR, nodeid, args(file, 0, 0, 0, 0, 0));
    return names;
  }
}

/** Words of 32 bits. */
export function args(...words: readonly number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(words).buffer);
}

/** struct fuse_read_in and fuse_write_in. */
export function transferArgs(file: number, offset: number, length: number): Uint8Array {
  return args(file, 0, offset, offset / 2 ** 32, length, 0, 0, 0, 0, 0);
}

export type Lock = [owner: number, type: number, start?: bigint | number, end?: bigint | number];

/** struct fuse_lk_in; without an end, of all that there ever will be. */
export function lockOf(file: number, ...[owner, type, start = 0n, end = LOCK_END]: Lock): Uint8Array {
  const bytes = args(file, 0, owner, 0, 0, 0, 0, 0, type, 7, 0, 0);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(16, BigInt(start), true);
  view.setBigUint64(24, BigInt(end), true);
  return bytes;
}

/** With a zero behind it. */
export function text(name: string): Uint8Array {
  return new TextEncoder().encode(`${name}\0`);
}

export function join(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

export function zeroes(count: number): number[] {
  return new Array<number>(count).fill(0);
}

function nodeOf(entry: DataView): FuseNode {
  return attributesOf(Number(entry.getBigUint64(0, true)), entry, 40);
}

function attributesOf(nodeid: number, view: DataView, at: number): FuseNode {
  return { nodeid, mode: view.getUint32(at + 60, true), size: Number(view.getBigUint64(at + 8, true)) };
}
