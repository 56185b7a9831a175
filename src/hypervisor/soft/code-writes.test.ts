import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CodeMap } from './code-map.ts';
import { CodeWrites, type CodeWritten } from './code-writes.ts';
import { areaOf, blockOf, REGION, REGIONS, regionEntry, TLB_ENTRY, VCPU_COUNT } from './layout.ts';
import { CPU } from './state.ts';

const VCPUS = 3;
const PAGE = 4096;
/** Guest memory of 16 pages from here on; its code map is at CODE_MAP. */
const FIRST_PAGE = 0x100;
const CODE_MAP = REGIONS + 0xe00;

function shared() {
  const words = new Int32Array(new SharedArrayBuffer(areaOf(VCPUS)));
  const view = new DataView(words.buffer);
  view.setUint32(REGIONS, 1, true);
  view.setUint32(VCPU_COUNT, VCPUS, true);
  view.setBigUint64(regionEntry(0) + REGION.start, BigInt(FIRST_PAGE * PAGE), true);
  view.setBigUint64(regionEntry(0) + REGION.size, BigInt(16 * PAGE), true);
  view.setUint32(regionEntry(0) + REGION.codeMap, CODE_MAP, true);
  const map = new CodeMap(words);
  return { words, view, map, writes: new CodeWrites(words, map) };
}

/** What a vCPU is told, as [page, from, to]; undefined: to drop everything. */
function news(writes: CodeWrites, id: number): number[][] | undefined {
  const told: number[][] = [];
  const each: CodeWritten = (...range) => told.push(range);
  return writes.take(id, each) ? told : undefined;
}

const attention = (words: Int32Array, id: number) => words[(blockOf(id) + CPU.attention) >> 2];

test('all vCPUs but the writer are told, once, and asked for attention', () => {
  const { words, writes } = shared();
  writes.post(1, 0x105, 16, 4096);
  writes.post(1, 0x106, 0, 1);
  for (const id of [0, 2]) {
    assert.ok(attention(words, id)! < 0);
    assert.deepEqual(news(writes, id), [
      [0x105, 16, 4096],
      [0x106, 0, 1],
    ]);
    assert.deepEqual(news(writes, id), []);
  }
  assert.equal(attention(words, 1), 0);
  assert.deepEqual(news(writes, 1), []);
});

test('too much to tell is told as that, and no longer the next time', () => {
  const { writes } = shared();
  for (let i = 0; i < 1000; i++) writes.post(0, 0x101, i, i + 1);
  assert.equal(news(writes, 1), undefined);
  assert.deepEqual(news(writes, 1), []);
  writes.post(0, 0x101, 3, 4);
  assert.deepEqual(news(writes, 1), [[0x101, 3, 4]]);
});

test('what the host writes matters where there is code, and clears the page', () => {
  const { map, writes } = shared();
  const entry = map.entryOf(0x102);
  map.mark(0x102, entry, [4, 0]);
  writes.hostWrote(0x101 * PAGE + 100, PAGE);
  for (let id = 0; id < VCPUS; id++) assert.deepEqual(news(writes, id), [[0x102, 0, PAGE]]);
  assert.equal(map.isMarked(entry), false);
  writes.hostWrote(0x102 * PAGE, 8);
  writes.hostWrote(0, 8); // no memory
  assert.deepEqual(news(writes, 0), []);
});

test('a page that gets its first code can be written by no vCPU without a look', () => {
  const { words, map } = shared();
  const linear = 0x7005;
  const tags = Array.from({ length: VCPUS }, (_, id) => {
    const entry = (areaOf(id) + (linear & 2047) * 32) >> 2;
    words[entry + (TLB_ENTRY.write >> 2)] = linear << 12;
    words[entry + (TLB_ENTRY.page >> 2)] = 0x103;
    return entry + (TLB_ENTRY.write >> 2);
  });
  assert.equal(map.mark(0x104, map.entryOf(0x104), [1, 0]), false);
  for (const tag of tags) assert.equal(words[tag], linear << 12);
  const entry = map.entryOf(0x103);
  assert.equal(map.mark(0x103, entry, [1, 0x8000_0000 | 0]), false);
  for (const tag of tags) assert.notEqual(words[tag]! & (2047 << 12), (linear << 12) & (2047 << 12));
  assert.equal(map.mark(0x103, entry, [1, 0]), true);
  assert.equal(map.mark(0x103, entry, [3, 0]), false);
});

test('pages outside of memory have no place in the map', () => {
  const { map } = shared();
  for (const page of [0, FIRST_PAGE - 1, FIRST_PAGE + 16]) assert.equal(map.entryOf(page), -1);
  assert.equal(map.entryOf(FIRST_PAGE + 15), (CODE_MAP + 15 * 8) >> 2);
});
