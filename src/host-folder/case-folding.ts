import type { DirectoryEntry } from './attributes.ts';
import type { Folder } from './folder.ts';
import type { Name } from './name.ts';

/**
 * Makes `name` the first entry of a folder that is the same but for the case of ASCII letters; false if there is none. `entry` is
 * for reading the folder.
 */
export function findFolded(folder: Folder, parent: number, name: Name, entry: DirectoryEntry): boolean {
  const file = folder.openDirectory(parent);
  if (file < 0) return false;
  let [low, high] = [0, 0];
  let isFound = false;
  while (!isFound && folder.nextEntry(file, low, high, entry) === 1) {
    isFound = isSameFolded(entry.name, name);
    low = entry.cookieLow;
    high = entry.cookieHigh;
  }
  folder.release(file);
  if (isFound) {
    const bytes = new Uint8Array(entry.name.length);
    entry.name.copyTo(bytes, 0);
    name.set({ bytes, address: 0 }, 0, bytes.length);
  }
  return isFound;
}

function isSameFolded(a: Name, b: Name): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) {
    if (folded(a.memory.bytes[a.start + i]!) !== folded(b.memory.bytes[b.start + i]!)) return false;
  }
  return true;
}

function folded(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
}
