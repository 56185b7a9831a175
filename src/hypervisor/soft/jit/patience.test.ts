import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Patience } from './patience.ts';

/** How many blocks are sent back before one is compiled. */
function sentBack(patience: Patience, page: number): number {
  let count = 0;
  while (patience.sendsBack(page)) count++;
  return count;
}

describe('patience with code that changes', () => {
  it('sends nothing back where nothing changed', () => {
    const patience = new Patience();
    patience.changed(6);
    assert.equal(sentBack(patience, 5), 0);
  });

  it('doubles with each change, up to a limit', () => {
    const patience = new Patience();
    const counts = Array.from({ length: 9 }, () => {
      patience.changed(5);
      return sentBack(patience, 5);
    });
    assert.deepEqual(counts, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
  });

  it('comes to an end, however many changes there were', () => {
    const patience = new Patience();
    for (let i = 0; i < 1000; i++) patience.changed(5);
    assert.equal(sentBack(patience, 5), 64);
    assert.equal(sentBack(patience, 5), 0);
  });

  it('is forgotten with all code', () => {
    const patience = new Patience();
    patience.changed(5);
    patience.clear();
    assert.equal(sentBack(patience, 5), 0);
  });
});
