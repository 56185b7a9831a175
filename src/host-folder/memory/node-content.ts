import type { ScatterList } from '../../memory/scatter-list.ts';
import { type MemoryNode, PAGE_BYTES } from './memory-node.ts';

/** Fills a list from a place of a file; returns how many bytes, fewer at its end. */
export function readContent(node: MemoryNode, offset: number, list: ScatterList): number {
  const length = Math.max(0, Math.min(list.length, node.size - offset));
  for (let done = 0; done < length; ) {
    const start = (offset + done) % PAGE_BYTES;
    const part = Math.min(PAGE_BYTES - start, length - done);
    const page = node.pages.get(Math.floor((offset + done) / PAGE_BYTES));
    if (page === undefined) list.zero(done, part);
    else list.copyFrom(page.subarray(start, start + part), done);
    done += part;
  }
  return length;
}

/** Pieces that a write would add. */
export function missingPages(node: MemoryNode, offset: number, length: number): number {
  let missing = 0;
  for (let page = Math.floor(offset / PAGE_BYTES); page * PAGE_BYTES < offset + length; page++) {
    if (!node.pages.has(page)) missing++;
  }
  return missing;
}

export function writeContent(node: MemoryNode, offset: number, list: ScatterList): void {
  for (let done = 0; done < list.length; ) {
    const number = Math.floor((offset + done) / PAGE_BYTES);
    const start = (offset + done) % PAGE_BYTES;
    const part = Math.min(PAGE_BYTES - start, list.length - done);
    let page = node.pages.get(number);
    if (page === undefined) node.pages.set(number, (page = new Uint8Array(PAGE_BYTES)));
    list.copyTo(page.subarray(start, start + part), done);
    done += part;
  }
  node.size = Math.max(node.size, offset + list.length);
}

/** Makes a range read as zeroes; whole pieces of it are given back. Returns how many. */
export function zeroContent(node: MemoryNode, offset: number, length: number): number {
  let freed = 0;
  for (const [number, page] of node.pages) {
    const start = Math.max(0, offset - number * PAGE_BYTES);
    const end = Math.min(PAGE_BYTES, offset + length - number * PAGE_BYTES);
    if (start >= end) continue;
    if (start === 0 && end === PAGE_BYTES) {
      node.pages.delete(number);
      freed++;
    } else {
      page.fill(0, start, end);
    }
  }
  return freed;
}

/** Gives a file another size; returns how many pieces were given back. */
export function resizeContent(node: MemoryNode, size: number): number {
  let freed = 0;
  if (size < node.size) {
    const end = Math.ceil(node.size / PAGE_BYTES) * PAGE_BYTES;
    freed = zeroContent(node, size, end - size);
  }
  node.size = size;
  return freed;
}

/** Where the first data (or hole) at or behind a place begin; undefined if there are none. */
export function seekContent(node: MemoryNode, offset: number, data: boolean): number | undefined {
  const first = Math.floor(offset / PAGE_BYTES);
  let page = first;
  // Files are much longer than the memory that they take, so only pieces that there are are looked at.
  if (data) {
    page = Number.POSITIVE_INFINITY;
    for (const number of node.pages.keys()) if (number >= first) page = Math.min(page, number);
  } else {
    while (node.pages.has(page)) page++;
  }
  const at = Math.max(offset, page * PAGE_BYTES);
  if (at < node.size) return at;
  return data ? undefined : node.size;
}
