/** A device number as the kernel's new_encode_dev makes it: 12 bits of major within 20 of minor. */
export function encodeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

export function decodeMajor(device: number): number {
  return (device >>> 8) & 0xfff;
}

export function decodeMinor(device: number): number {
  return (device & 0xff) | ((device >>> 12) & 0xf_ff00);
}
