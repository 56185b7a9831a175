import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import {
  createWindowState,
  type FilePiece,
  MemoryWindow,
  type WindowHost,
  type WindowOptions,
} from './memory-window.ts';

const PAGE = 4096;
const SIZE = 16 * PAGE;
const GPA = 0x1_0000_0000;

let calls: string[];
let failing: string | undefined;

function call(...words: (string | number | undefined)[]): void {
  if (failing === words[0]) throw new Error('no');
  calls.push(words.join(' '));
}

const host: WindowHost = {
  isFree: (gpa) => gpa >= GPA,
  place: (gpa) => call('place', gpa),
  attach: ({ offset, length }, fd, fdOffset) => call('attach', offset / PAGE, length / PAGE, fd, fdOffset / PAGE),
  replace: ({ index, writable }, fd, fdOffset, isShown) =>
    call('replace', index, fd, fdOffset / PAGE, +writable, +isShown),
  detach: ({ offset }) => call('detach', offset / PAGE),
  show: (gpa, pieces) => call('show', gpa - GPA, ...pieces.map(({ index }) => index)),
  hide: (pieces) => call('hide', ...pieces.map(({ index }) => index)),
};

beforeEach(() => {
  calls = [];
  failing = undefined;
});

const options: WindowOptions = { size: SIZE, maxPieces: 3 };
const make = (given = options) => new MemoryWindow(given, createWindowState(given), host);
const piece = (page: number, pages: number, more: Partial<FilePiece> = {}): FilePiece => ({
  ...{ offset: page * PAGE, length: pages * PAGE, writable: true, fd: 9, fdOffset: 0 },
  ...more,
});
const done = () => calls.splice(0);

test('pieces are mapped at once, and shown where the window is', () => {
  const window = make();
  window.map(piece(1, 2, { fdOffset: 5 * PAGE }));
  assert.deepEqual(done(), ['attach 1 2 9 5']);
  window.moveTo(GPA);
  assert.deepEqual(done(), [`place ${GPA}`, 'show 0 0']);
  window.map(piece(4, 1));
  assert.deepEqual(done(), ['attach 4 1 9 0', 'show 0 1']);
  window.moveTo(GPA);
  assert.deepEqual(done(), []);
  window.moveTo(GPA + SIZE);
  assert.deepEqual(done(), ['hide 0 1', `place ${GPA + SIZE}`, `show ${SIZE} 0 1`]);
  window.unmap(PAGE, 2 * PAGE);
  assert.deepEqual(done(), ['hide 0', 'detach 1']);
  window.moveTo(undefined);
  assert.deepEqual(done(), ['hide 1', 'place ']);
  window.clear();
  assert.deepEqual(done(), ['detach 4']);
});

test('a piece takes the place of another in a window that can move', () => {
  const window = make();
  window.map(piece(1, 2));
  window.map(piece(1, 2, { writable: false, fd: 8, fdOffset: PAGE }));
  assert.deepEqual(done(), ['attach 1 2 9 0', 'replace 0 8 1 0 0']);
  window.moveTo(GPA);
  done();
  window.map(piece(1, 2));
  assert.deepEqual(done(), ['replace 0 9 0 1 1']);
  window.unmap(PAGE, 2 * PAGE);
  const fixed = make({ ...options, address: GPA });
  fixed.map(piece(1, 2));
  assert.throws(() => fixed.map(piece(1, 2)), { code: 'E_MEMORY_WINDOW' });
});

test('all threads see the same window', () => {
  const state = createWindowState(options);
  const [one, other] = [new MemoryWindow(options, state, host), new MemoryWindow(options, state, host)];
  one.moveTo(GPA);
  one.map(piece(0, 2));
  assert.equal(other.address, GPA);
  assert.throws(() => other.map(piece(0, 1)), { code: 'E_MEMORY_WINDOW' });
  other.unmap(0, 2 * PAGE);
});

test('refuses what is no part of the window, what is taken, and too much', () => {
  const window = make();
  const isRefused = (action: () => void) => assert.throws(action, { code: 'E_MEMORY_WINDOW' });
  window.map(piece(4, 4));
  done();
  for (const [page, pages] of [
    [16, 1],
    [15, 2],
    [0, 17],
    [0, 0],
    [-1, 2],
    [0.5, 1],
    [0, 1.5],
    [0, 2 ** 41],
    [2 ** 41, 1],
    [Number.NaN, 1],
    [0, Number.NaN],
    [0, 5],
    [7, 1],
    [3, 8],
    [5, 1],
  ] as const) {
    isRefused(() => window.map(piece(page, pages)));
  }
  for (const fdOffset of [1, -PAGE, 2 ** 53, Number.NaN]) isRefused(() => window.map(piece(0, 1, { fdOffset })));
  for (const [page, pages] of [
    [4, 3],
    [5, 4],
    [0, 16],
    [0, 1],
  ] as const) {
    isRefused(() => window.unmap(page * PAGE, pages * PAGE));
  }
  assert.deepEqual(done(), []);
  window.map(piece(0, 1));
  window.map(piece(1, 1));
  isRefused(() => window.map(piece(2, 1)));
  window.unmap(0, PAGE);
  window.map(piece(2, 1));
});

test('a place that it cannot have is nowhere', () => {
  const window = make();
  for (const gpa of [0, GPA + 1, -PAGE, 2 ** 46, 2 ** 60, Number.NaN]) {
    window.moveTo(GPA);
    window.moveTo(gpa);
    assert.equal(window.address, undefined);
  }
  failing = 'show';
  window.moveTo(GPA);
  assert.equal(window.address, undefined);
  assert.equal(calls.at(-1), 'place ');
});

test('a piece that cannot be shown is not there', () => {
  const window = make();
  window.moveTo(GPA);
  failing = 'show';
  assert.throws(() => window.map(piece(0, 1)), /no/);
  failing = undefined;
  assert.equal(calls.at(-1), 'detach 0');
  window.map(piece(0, 1));
});

test('windows that cannot be', () => {
  for (const bad of [
    { size: 0 },
    { size: 100 },
    { size: 3 * PAGE },
    { size: 2 ** 54 },
    { size: SIZE, address: 100 },
    { size: SIZE, address: 2 ** 46 },
    { size: SIZE, maxPieces: 0 },
    { size: SIZE, maxPieces: 1e6 },
  ]) {
    assert.throws(() => createWindowState({ ...options, ...bad }), { code: 'E_MEMORY_WINDOW' });
  }
  const fixed = make({ size: 3 * PAGE, address: GPA, maxPieces: 1 });
  assert.equal(fixed.address, GPA);
  assert.throws(() => fixed.moveTo(GPA), RangeError);
});
