import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStore } from '../memory-store.ts';
import { L1_TABLE, L2_TABLE, REFCOUNT_BLOCK, TableLog } from './table-log.ts';

const word = (store: MemoryStore, at: number) => new DataView(store.contents().buffer).getBigUint64(at);

function setUp() {
  const memory = new Uint8Array(16 + 40 * 16);
  const store = new MemoryStore('image', new Uint8Array(16384));
  return { memory, store, log: new TableLog(memory, '1:2') };
}

test('what is committed is written, the last value of each word, by those of the same file only', () => {
  const { memory, store, log } = setUp();
  log.replay(store);
  log.note(L1_TABLE, 8192, 0x8000_0000, 5);
  log.note(L2_TABLE, 512, 1, 2);
  log.note(L2_TABLE, 512, 3, 4);
  log.commit();
  log.note(REFCOUNT_BLOCK, 520, 9, 9);
  assert.throws(() => new TableLog(memory, '1:3').replay(store), {
    code: 'E_DISK_TABLE_LOG',
    message: /^image: another file has taken the place of the image/,
  });
  new TableLog(memory, '1:2').replay(store);
  assert.deepEqual(
    [word(store, 8192), word(store, 512), word(store, 520)],
    [0x8000_0000_0000_0005n, 0x3_0000_0004n, 0n],
  );
  // There is nothing left to do, so it may be another file's.
  new TableLog(memory, '1:3').replay(store);
});

test('memory that a predecessor has damaged writes nothing beyond the file, and is told of', () => {
  for (const [at, value] of [
    [0, 41],
    [0, 0xffff_ffff],
    [16, 16384 + L2_TABLE],
    [20, 1],
    [20, 0xffff_ffff],
  ] as const) {
    const { memory, store, log } = setUp();
    log.replay(store);
    log.note(L2_TABLE, 512, 1, 2);
    log.commit();
    new DataView(memory.buffer).setUint32(at, value, true);
    assert.throws(() => new TableLog(memory, '1:2').replay(store), { code: 'E_DISK_TABLE_LOG' });
    assert.equal(store.size, 16384);
  }
  const { memory, store } = setUp();
  memory.fill(0xff);
  assert.throws(() => new TableLog(memory, '1:2').replay(store), { code: 'E_DISK_TABLE_LOG' });
});

test('a log whose tables cannot be written fills up, and says so', () => {
  const { log } = setUp();
  let asked = 0;
  log.onCrowded = () => asked++;
  for (let i = 0; i < 40; i++) {
    log.note(L2_TABLE, 8 * i, 1, 2);
    log.relieve();
  }
  assert.equal(asked, 17);
  assert.throws(() => log.note(L2_TABLE, 0, 1, 2), { code: 'E_DISK_TABLE_LOG' });
  log.clear();
  log.note(L2_TABLE, 0, 1, 2);
});
