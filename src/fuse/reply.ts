import type { FileAttributes, FileEntry } from '../host-folder/attributes.ts';
import { S_IFDIR, S_IFMT } from '../host-folder/constants.ts';
import { encodeDevice } from '../host-folder/device-number.ts';
import { type HostMemory, ScatterList } from '../memory/scatter-list.ts';
import { FUSE_ATTR_SUBMOUNT, OUT_HEADER_SIZE } from './protocol.ts';

/** The most bytes of a reply that is put together here: entries of a folder, an extended attribute and what is around it. */
const MAX_REPLY = 68 * 1024;

const ATTRIBUTES_SIZE = 88;
export const ENTRY_SIZE = 40 + ATTRIBUTES_SIZE;

const NANOSECONDS = 1e9;

/**
 * The answer to a request. What is short is put together in memory of ours and copied to the guest's once; data go to the
 * guest's memory directly. Offsets are from the start of the payload, behind the header.
 */
export class FuseReply {
  readonly bytes = new Uint8Array(MAX_REPLY);
  readonly payloadStart = OUT_HEADER_SIZE;
  /** The payload as memory for the folder to write to. */
  readonly payload: HostMemory = { bytes: this.bytes.subarray(OUT_HEADER_SIZE), address: 0 };
  readonly #view = new DataView(this.bytes.buffer);
  /** The guest's memory for the payload. */
  readonly data = new ScatterList();
  #target = new ScatterList();
  /** The guest wants to know where something is mounted. */
  showsMounts = false;
  /** The payload was put into `data`. */
  isDirect = false;

  /** Begins an answer that goes to `target`. */
  begin(target: ScatterList): void {
    this.#target = target;
    this.isDirect = false;
  }

  /** Most bytes of payload that the guest takes. */
  get room(): number {
    return Math.max(
      0,
      Math.min(this.#target.length, this.isDirect ? Number.POSITIVE_INFINITY : MAX_REPLY) - OUT_HEADER_SIZE,
    );
  }

  /** Prepares `data` for as many bytes of payload as the guest takes, at most `length`. */
  expectData(length: number): void {
    this.isDirect = true;
    this.data.clear();
    this.data.addRange(this.#target, OUT_HEADER_SIZE, Math.min(length, this.#target.length - OUT_HEADER_SIZE));
  }

  /** Sends `result` bytes of payload, or an error if it is negative. Returns the bytes of the answer; 0 if there is no room. */
  send(uniqueLow: number, uniqueHigh: number, result: number): number {
    const payload = Math.max(0, result);
    const length = OUT_HEADER_SIZE + payload;
    if (this.#target.length < length) return 0;
    const view = this.#view;
    view.setUint32(0, length, true);
    view.setInt32(4, Math.min(0, result), true);
    view.setUint32(8, uniqueLow, true);
    view.setUint32(12, uniqueHigh, true);
    this.#target.copyFrom(this.bytes, 0, this.isDirect ? OUT_HEADER_SIZE : length);
    return length;
  }

  clear(at: number, length: number): void {
    this.bytes.fill(0, OUT_HEADER_SIZE + at, OUT_HEADER_SIZE + at + length);
  }

  u16(at: number, value: number): void {
    this.#view.setUint16(OUT_HEADER_SIZE + at, value, true);
  }

  u32(at: number, value: number): void {
    this.#view.setUint32(OUT_HEADER_SIZE + at, value, true);
  }

  /** Of a safe integer, negative or not. */
  u64(at: number, value: number): void {
    this.u32(at, value % 0x1_0000_0000);
    this.u32(at + 4, Math.floor(value / 0x1_0000_0000));
  }

  big(at: number, value: bigint): void {
    this.#view.setBigUint64(OUT_HEADER_SIZE + at, value, true);
  }

  /** struct fuse_entry_out; both timeouts in seconds. `entry` of inode 0 says that there is none. */
  entry(at: number, { inode, attributes }: FileEntry, entryTimeout: number, attributeTimeout: number): number {
    this.u64(at, inode);
    this.u64(at + 8, 0);
    this.#timeout(at + 16, at + 32, entryTimeout);
    this.#timeout(at + 24, at + 36, attributeTimeout);
    this.attributes(at + 40, attributes);
    return ENTRY_SIZE;
  }

  /** struct fuse_attr_out. */
  timedAttributes(attributes: FileAttributes, timeout: number): number {
    this.u32(12, 0);
    this.#timeout(0, 8, timeout);
    this.attributes(16, attributes);
    return 16 + ATTRIBUTES_SIZE;
  }

  /** struct fuse_attr. */
  attributes(at: number, from: FileAttributes): void {
    this.u32(at, from.inoLow);
    this.u32(at + 4, from.inoHigh);
    this.u64(at + 8, from.size);
    this.u64(at + 16, from.blocks);
    this.u64(at + 24, from.atime);
    this.u64(at + 32, from.mtime);
    this.u64(at + 40, from.ctime);
    this.u32(at + 48, from.atimeNs);
    this.u32(at + 52, from.mtimeNs);
    this.u32(at + 56, from.ctimeNs);
    this.u32(at + 60, from.mode);
    this.u32(at + 64, from.links);
    this.u32(at + 68, from.uid);
    this.u32(at + 72, from.gid);
    this.u32(at + 76, encodeDevice(from.major, from.minor));
    this.u32(at + 80, from.blockSize);
    this.u32(at + 84, this.showsMounts && isMountedFolder(from) ? FUSE_ATTR_SUBMOUNT : 0);
  }

  /** struct fuse_statx_out, all basic fields and the birth where it is known. */
  statx(from: FileAttributes, timeout: number): number {
    this.clear(0, STATX_OUT_SIZE);
    this.#timeout(0, 8, timeout);
    const at = 32;
    this.u32(at, from.hasBirth ? STATX_BASIC_STATS | STATX_BTIME : STATX_BASIC_STATS);
    this.u32(at + 4, from.blockSize);
    this.u32(at + 16, from.links);
    this.u32(at + 20, from.uid);
    this.u32(at + 24, from.gid);
    this.u16(at + 28, from.mode);
    this.u32(at + 32, from.inoLow);
    this.u32(at + 36, from.inoHigh);
    this.u64(at + 40, from.size);
    this.u64(at + 48, from.blocks);
    this.#time(at + 64, from.atime, from.atimeNs);
    if (from.hasBirth) this.#time(at + 80, from.btime, from.btimeNs);
    this.#time(at + 96, from.ctime, from.ctimeNs);
    this.#time(at + 112, from.mtime, from.mtimeNs);
    this.u32(at + 128, from.major);
    this.u32(at + 132, from.minor);
    return STATX_OUT_SIZE;
  }

  #time(at: number, seconds: number, ns: number): void {
    this.u64(at, seconds);
    this.u32(at + 8, ns);
  }

  #timeout(secondsAt: number, nsAt: number, timeout: number): void {
    const seconds = Math.floor(timeout);
    this.u64(secondsAt, seconds);
    this.u32(nsAt, Math.round((timeout - seconds) * NANOSECONDS) % NANOSECONDS);
  }
}

function isMountedFolder({ isMountRoot, mode }: FileAttributes): boolean {
  return isMountRoot && (mode & S_IFMT) === S_IFDIR;
}

const STATX_BASIC_STATS = 0x7ff;
const STATX_BTIME = 0x800;
/** 32 bytes, and struct fuse_statx. */
const STATX_OUT_SIZE = 32 + 256;
