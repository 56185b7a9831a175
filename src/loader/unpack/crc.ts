/** The checksums of the xz format: CRC-32 (IEEE 802.3) and CRC-64 (ECMA-182), both reflected. */

const CRC32_TABLE = makeTable32();
const CRC64_TABLE = makeTable64();

/** CRC-32 of `bytes`, as an unsigned number. */
export function crc32(bytes: Uint8Array): number {
  let crc = -1;
  for (let i = 0; i < bytes.length; i++) crc = CRC32_TABLE[(crc ^ bytes[i]!) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** CRC-64 of `bytes`: low and high half, unsigned. */
export function crc64(bytes: Uint8Array): { low: number; high: number } {
  let low = -1;
  let high = -1;
  for (let i = 0; i < bytes.length; i++) {
    const entry = ((low ^ bytes[i]!) & 0xff) * 2;
    low = CRC64_TABLE[entry]! ^ ((low >>> 8) | (high << 24));
    high = CRC64_TABLE[entry + 1]! ^ (high >>> 8);
  }
  return { low: ~low >>> 0, high: ~high >>> 0 };
}

function makeTable32(): Int32Array {
  return Int32Array.from({ length: 256 }, (_, i) => {
    let crc = i;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb8_8320 : 0);
    return crc;
  });
}

/** Pairs of low and high half: the polynomial does not fit a Number, and BigInt would be slow here. */
function makeTable64(): Int32Array {
  const table = new Int32Array(512);
  for (let i = 0; i < 256; i++) {
    let low = i;
    let high = 0;
    for (let bit = 0; bit < 8; bit++) {
      const odd = low & 1;
      low = (low >>> 1) | (high << 31);
      high >>>= 1;
      if (odd) {
        low ^= 0xd787_0f42;
        high ^= 0xc96c_5795;
      }
    }
    table[i * 2] = low;
    table[i * 2 + 1] = high;
  }
  return table;
}
