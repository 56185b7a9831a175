import { ascii, type Bytes, checksum, u32 } from '../bytes.ts';

/** Length of the header that all tables but RSDP and FACS have (ACPI 6.3, 5.2.6). */
export const HEADER_LENGTH = 36;
const CHECKSUM_OFFSET = 9;
const CREATOR_REVISION = 1;

/** A whole table: header with checksum, then `body`. */
export function table(signature: string, revision: number, body: Bytes): Uint8Array {
  const bytes = Uint8Array.from([
    ...ascii(signature, 4),
    ...u32(HEADER_LENGTH + body.length),
    revision,
    0,
    ...ascii('CROSVM', 6),
    ...ascii('CROSVMDT', 8),
    ...u32(1),
    ...ascii('CRVM', 4),
    ...u32(CREATOR_REVISION),
    ...body,
  ]);
  updateChecksum(bytes);
  return bytes;
}

/** Sets the checksum byte of a table that has been changed. */
export function updateChecksum(bytes: Uint8Array): void {
  bytes[CHECKSUM_OFFSET] = 0;
  bytes[CHECKSUM_OFFSET] = checksum(bytes);
}

export function signatureOf(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes.subarray(0, 4));
}
