/** Whether bytes `from` to `to` - 1 are all 0. */
export function isZero(bytes: Uint8Array, from: number, to: number): boolean {
  let at = from;
  while (at < to && (bytes.byteOffset + at) % 4 !== 0) if (bytes[at++] !== 0) return false;
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset + at, (to - at) >>> 2);
  const whole = words.length - (words.length % 8);
  // Several words at a time: data mostly shows at once, zeroes are what takes time.
  for (let i = 0; i < whole; i += 8) {
    const some =
      words[i]! |
      words[i + 1]! |
      words[i + 2]! |
      words[i + 3]! |
      words[i + 4]! |
      words[i + 5]! |
      words[i + 6]! |
      words[i + 7]!;
    if (some !== 0) return false;
  }
  for (let i = whole; i < words.length; i++) if (words[i] !== 0) return false;
  for (at += words.length * 4; at < to; at++) if (bytes[at] !== 0) return false;
  return true;
}
