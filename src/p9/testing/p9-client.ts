import { bytesList } from '../../memory/bytes-list.ts';
import type { P9Server } from '../p9-server.ts';
import * as protocol from '../protocol.ts';

/** What carries a request to a server and its answer back: `room` is how long that may be. Undefined without an answer. */
export type P9Transport = (request: Uint8Array, room: number) => Uint8Array | undefined;

/** Straight to a server, without a queue. */
export function directTransport(server: P9Server): P9Transport {
  return (request, room) => {
    const answer = new Uint8Array(room);
    const length = server.handle(bytesList(request), bytesList(answer));
    return length === 0 ? undefined : answer.subarray(0, length);
  };
}

/** An answer: an errno (0 for none), and its fields, read in order. */
export class P9Answer {
  readonly error: number;
  readonly type: number;
  readonly tag: number;
  readonly #view: DataView;
  at = protocol.HEADER_SIZE;

  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    if (this.#view.getUint32(0, true) !== bytes.length) throw new Error('an answer has another size than it says');
    this.type = this.#view.getUint8(4);
    this.tag = this.#view.getUint16(5, true);
    this.error = this.type === protocol.Rlerror ? this.#view.getUint32(7, true) : 0;
  }

  get left(): number {
    return this.#view.byteLength - this.at;
  }

  u8(): number {
    return this.#view.getUint8(this.at++);
  }

  u16(): number {
    this.at += 2;
    return this.#view.getUint16(this.at - 2, true);
  }

  u32(): number {
    this.at += 4;
    return this.#view.getUint32(this.at - 4, true);
  }

  u64(): number {
    this.at += 8;
    return Number(this.#view.getBigUint64(this.at - 8, true));
  }

  text(): string {
    return new TextDecoder().decode(this.bytes(this.u16()));
  }

  bytes(length: number): Uint8Array {
    this.at += length;
    return new Uint8Array(this.#view.buffer, this.#view.byteOffset + this.at - length, length);
  }

  qid(): Qid {
    return { type: this.u8(), version: this.u32(), path: this.u64() };
  }
}

export interface Qid {
  readonly type: number;
  readonly version: number;
  readonly path: number;
}

export interface Attributes {
  readonly qid: Qid;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  readonly device: number;
  readonly size: number;
  readonly mtime: number;
  readonly mtimeNs: number;
}

/** A field of a request: a number of some width, or a text or other bytes. */
export type Field = readonly ['b' | 'w' | 'd' | 'q', number | bigint] | string | Uint8Array;

export const d = (value: number): Field => ['d', value];
export const q = (value: number | bigint): Field => ['q', value];
export const w = (value: number): Field => ['w', value];
export const b = (value: number): Field => ['b', value];

const WIDTHS = { b: 1, w: 2, d: 4, q: 8 } as const;

/** The client's end of the protocol, for tests and measurements. What goes wrong throws, but in `call`. */
export class P9Client {
  readonly #transport: P9Transport;
  readonly #room: number;
  #tag = 0;

  constructor(transport: P9Transport, room = protocol.MAX_MSIZE) {
    this.#transport = transport;
    this.#room = room;
  }

  /** Sends bytes; undefined if there is no answer. */
  send(message: Uint8Array, room = this.#room): P9Answer | undefined {
    const answer = this.#transport(message, room);
    return answer === undefined ? undefined : new P9Answer(answer);
  }

  /** Sends a request; its answer, which may be an error. */
  call(type: number, ...fields: readonly Field[]): P9Answer {
    this.#tag = (this.#tag + 1) & 0x7fff;
    const answer = this.send(encode(type, this.#tag, fields));
    if (answer === undefined) throw new Error(`request ${type} was not answered`);
    if (answer.tag !== this.#tag) throw new Error(`request ${this.#tag} got the answer of ${answer.tag}`);
    if (answer.error === 0 && answer.type !== type + 1) throw new Error(`${type} was answered by ${answer.type}`);
    return answer;
  }

  /** The same, of one that has to succeed. */
  ask(type: number, ...fields: readonly Field[]): P9Answer {
    const answer = this.call(type, ...fields);
    if (answer.error !== 0) throw new Error(`request ${type} failed with ${answer.error}`);
    return answer;
  }

  /** The errno of one, 0 if it succeeds. */
  errno(type: number, ...fields: readonly Field[]): number {
    return this.call(type, ...fields).error;
  }

  /** Agrees on a version, and makes `fid` the root. */
  start(fid: number, uid = 0, msize = protocol.MAX_MSIZE): void {
    this.ask(protocol.Tversion, d(msize), protocol.VERSION);
    this.attach(fid, uid);
  }

  attach(fid: number, uid = 0): Qid {
    return this.ask(protocol.Tattach, d(fid), d(protocol.NOFID), '', '', d(uid)).qid();
  }

  /** Qids of the names that lead somewhere. */
  walk(fid: number, newFid: number, ...names: readonly string[]): Qid[] {
    const answer = this.ask(protocol.Twalk, d(fid), d(newFid), w(names.length), ...names);
    return Array.from({ length: answer.u16() }, () => answer.qid());
  }

  open(fid: number, flags: number): void {
    this.ask(protocol.Tlopen, d(fid), d(flags));
  }

  create(fid: number, name: string, flags: number, mode = 0o644, gid = 0): void {
    this.ask(protocol.Tlcreate, d(fid), name, d(flags), d(mode), d(gid));
  }

  read(fid: number, offset: number | bigint = 0, count = 4096): Uint8Array {
    const answer = this.ask(protocol.Tread, d(fid), q(offset), d(count));
    return answer.bytes(answer.u32());
  }

  write(fid: number, offset: number | bigint, data: Uint8Array): number {
    return this.ask(protocol.Twrite, d(fid), q(offset), d(data.length), data).u32();
  }

  clunk(fid: number): void {
    this.ask(protocol.Tclunk, d(fid));
  }

  attributes(fid: number): Attributes {
    const answer = this.ask(protocol.Tgetattr, d(fid), q(protocol.P9_GETATTR_BASIC));
    answer.u64();
    const [qid, mode, uid, gid] = [answer.qid(), answer.u32(), answer.u32(), answer.u32()];
    const [links, device, size] = [answer.u64(), answer.u64(), answer.u64()];
    answer.bytes(4 * 8);
    return { qid, mode, uid, gid, links, device, size, mtime: answer.u64(), mtimeNs: answer.u64() };
  }

  /** Names of an open folder, in the order that they come in. */
  names(fid: number, count = 8192): string[] {
    const all: string[] = [];
    for (let offset = 0n; ; ) {
      const answer = this.ask(protocol.Treaddir, d(fid), q(offset), d(count));
      if (answer.u32() === 0) return all;
      while (answer.left > 0) {
        answer.qid();
        const [low, high] = [answer.u32(), answer.u32()];
        offset = BigInt(low) | (BigInt(high) << 32n);
        answer.u8();
        all.push(answer.text());
      }
    }
  }
}

/** A request as it is sent. */
export function encode(type: number, tag: number, fields: readonly Field[]): Uint8Array {
  const size = fields.reduce((sum, field) => sum + sizeOf(field), protocol.HEADER_SIZE);
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, size, true);
  view.setUint8(4, type);
  view.setUint16(5, tag, true);
  let at = protocol.HEADER_SIZE;
  for (const field of fields) {
    put(view, at, field);
    at += sizeOf(field);
  }
  return bytes;
}

function sizeOf(field: Field): number {
  if (typeof field === 'string') return 2 + Buffer.byteLength(field);
  return field instanceof Uint8Array ? field.length : WIDTHS[field[0]];
}

function put(view: DataView, at: number, field: Field): void {
  const bytes = new Uint8Array(view.buffer);
  if (typeof field === 'string') {
    view.setUint16(at, Buffer.byteLength(field), true);
    bytes.set(Buffer.from(field), at + 2);
  } else if (field instanceof Uint8Array) {
    bytes.set(field, at);
  } else {
    const value = BigInt(field[1]);
    for (let i = 0; i < WIDTHS[field[0]]; i++) bytes[at + i] = Number((value >> BigInt(8 * i)) & 0xffn);
  }
}
