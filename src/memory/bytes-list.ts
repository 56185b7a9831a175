import { ScatterList } from './scatter-list.ts';

/** A list with the one piece `bytes`, to read or write a disk or a file from our own memory. */
export function bytesList(bytes: Uint8Array): ScatterList {
  const list = new ScatterList();
  list.add({ bytes, address: 0 }, 0, bytes.length);
  return list;
}

/** `list` itself if it is the whole, else the part from `from`, put together in `scratch`. */
export function partOf(list: ScatterList, from: number, length: number, scratch: ScatterList): ScatterList {
  if (from === 0 && length === list.length) return list;
  scratch.clear();
  scratch.addRange(list, from, length);
  return scratch;
}
