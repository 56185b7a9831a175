import { VIRTQ_DESC_F_WRITE } from '../queue/descriptor-chain.ts';
import type { MockGuest, MockRequest } from './mock-guest.ts';

/** A piece of a request in guest memory. */
export interface MockBuffer {
  readonly gpa: number;
  readonly length: number;
  readonly flags: number;
}

/** Puts a request into guest memory. */
export function placeRequest(guest: MockGuest, { readable = [], writable = [] }: MockRequest): MockBuffer[] {
  return [
    ...readable.map((bytes) => ({ gpa: guest.place(bytes), length: bytes.length, flags: 0 })),
    ...writable.map((length) => ({ gpa: guest.allocate(length, 1), length, flags: VIRTQ_DESC_F_WRITE })),
  ];
}

/** A copy of all that the device could write to. */
export function writtenData(guest: MockGuest, buffers: readonly MockBuffer[]): Uint8Array {
  const parts = buffers.filter(({ flags }) => (flags & VIRTQ_DESC_F_WRITE) !== 0);
  return new Uint8Array(Buffer.concat(parts.map(({ gpa, length }) => guest.bytes(gpa, length))));
}
