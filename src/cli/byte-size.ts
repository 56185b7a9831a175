const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** `10485760` -> `10 MiB (10485760 bytes)`. */
export function byteSize(bytes: number): string {
  const unit = Math.min(UNITS.length - 1, bytes < 1 ? 0 : Math.floor(Math.log2(bytes) / 10));
  if (unit === 0) return `${bytes} bytes`;
  return `${Number((bytes / 1024 ** unit).toPrecision(4))} ${UNITS[unit]} (${bytes} bytes)`;
}
