/** The header of a vhost-user message: u32 request, u32 flags, u32 size of the payload that follows. */
import { CrosvmError } from '../../errors.ts';

export const HEADER_SIZE = 12;

/** The longest payload that either side accepts, in bytes; the longest that the protocol defines has about 300. */
export const MAX_PAYLOAD = 4096;

/** The most descriptors beside one message: one for each region of a memory table. */
export const MAX_MESSAGE_DESCRIPTORS = 8;

const VERSION = 0x1;
const VERSION_MASK = 0x3;
export const FLAG_REPLY = 0x4;
export const FLAG_NEED_REPLY = 0x8;

export interface MessageHeader {
  /** The number of the request; a reply repeats it. */
  readonly request: number;
  /** Whether this answers a request. */
  readonly reply: boolean;
  /** Whether the sender wants to know that it was carried out (with REPLY_ACK). */
  readonly needReply: boolean;
  /** Bytes of payload. */
  readonly size: number;
}

/** A message and what came beside it; the descriptors are the receiver's to close. */
export interface Message extends Omit<MessageHeader, 'size'> {
  readonly payload: Uint8Array;
  readonly fds: readonly number[];
}

/** What somebody on the other end of a connection did against the protocol. */
export function protocolError(message: string): CrosvmError {
  return new CrosvmError('E_VHOST_USER', `vhost-user: ${message}`);
}

/** Reads the first HEADER_SIZE bytes. Throws `E_VHOST_USER` for another version and for a payload beyond the limit. */
export function decodeHeader(bytes: Uint8Array): MessageHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_SIZE);
  const request = view.getUint32(0, true);
  const flags = view.getUint32(4, true);
  const size = view.getUint32(8, true);
  if ((flags & VERSION_MASK) !== VERSION) {
    throw protocolError(`message ${request} has version ${flags & VERSION_MASK} of the protocol instead of ${VERSION}`);
  }
  if (size > MAX_PAYLOAD) {
    throw protocolError(`message ${request} has a payload of ${size} bytes; ${MAX_PAYLOAD} are allowed`);
  }
  return { request, reply: (flags & FLAG_REPLY) !== 0, needReply: (flags & FLAG_NEED_REPLY) !== 0, size };
}

/** A whole message; `flags` are FLAG_ bits. */
export function encodeMessage(request: number, flags: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER_SIZE + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, request, true);
  view.setUint32(4, VERSION | flags, true);
  view.setUint32(8, payload.length, true);
  bytes.set(payload, HEADER_SIZE);
  return bytes;
}
