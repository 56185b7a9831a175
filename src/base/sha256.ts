/** SHA-256. Node's cryptography takes 50 ms to load, so it is loaded by the first hash. */

/** The digest, in hexadecimal, of what `parts` are one after the other. */
export function sha256(parts: Iterable<Uint8Array | string>): string {
  const hash = process.getBuiltinModule('node:crypto').createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}
