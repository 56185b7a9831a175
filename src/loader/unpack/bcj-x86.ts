/** Whether the top byte of a converted displacement is that of a small positive or negative number. */
function isSignByte(byte: number): boolean {
  return byte === 0 || byte === 0xff;
}

/** Bits of `history`: which of the last bytes looked like an opcode; only these patterns may be followed by a real one. */
const ALLOWED = [true, true, true, false, true, false, false, false];
const DISTURBING_BYTE = [0, 1, 2, 2, 3, 3, 3, 3];

/**
 * Undoes the x86 branch filter of xz ("BCJ", filter id 4) in place: the encoder has turned the relative target of each
 * CALL (E8) and JMP (E9) into an absolute one, so that calls of one function look alike. `bytes` is everything that one
 * block unpacks to, its first byte at position 0. The last four bytes are never touched.
 */
export function undoBcjX86(bytes: Uint8Array): void {
  let history = 0;
  let lastOpcode = -1;
  const end = bytes.length - 4;
  for (let i = 0; i < end; i++) {
    if ((bytes[i]! & 0xfe) !== 0xe8) continue;
    const gap = i - lastOpcode;
    lastOpcode = i;
    if (gap > 3) {
      history = 0;
    } else {
      history = (history << (gap - 1)) & 7;
      const disturbing = bytes[i + 4 - DISTURBING_BYTE[history]!]!;
      if (history !== 0 && (!ALLOWED[history]! || isSignByte(disturbing))) {
        history = (history << 1) | 1;
        continue;
      }
    }
    if (!isSignByte(bytes[i + 4]!)) {
      history = (history << 1) | 1;
      continue;
    }
    const relative = toRelative(readI32(bytes, i + 1), i + 5, history);
    writeI32(bytes, i + 1, relative);
    i += 4;
  }
}

/** The displacement that the encoder saw; an opcode byte shortly before can have made it convert twice. */
function toRelative(absolute: number, next: number, history: number): number {
  let target = absolute;
  for (;;) {
    const relative = (target - next) | 0;
    if (history === 0) return signExtend25(relative);
    const shift = DISTURBING_BYTE[history]! * 8;
    if (!isSignByte((relative >>> (24 - shift)) & 0xff)) return signExtend25(relative);
    target = relative ^ ((1 << (32 - shift)) - 1);
  }
}

/** Displacements are stored with 25 significant bits: the top byte is 0 or 255. */
function signExtend25(value: number): number {
  return (value << 7) >> 7;
}

function readI32(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

function writeI32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >> 8;
  bytes[at + 2] = value >> 16;
  bytes[at + 3] = value >> 24;
}
