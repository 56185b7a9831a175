import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PollWindow } from './poll-window.ts';

/** A window whose waits take as long as it is told. */
function testWindow(mayPoll = true) {
  let now = 0;
  const window = new PollWindow(() => now, mayPoll);
  const pass = (microseconds: number) => {
    now += microseconds;
  };
  const wait = (microseconds: number) => {
    window.begin();
    pass(microseconds);
    window.end();
  };
  return { window, pass, wait };
}

describe('a poll window', () => {
  it('is closed at first', () => {
    const { window } = testWindow();
    assert.equal(window.begin(), false);
    assert.equal(window.isOpen, false);
  });

  it('is open for twice as long as a short wait was', () => {
    const { window, pass, wait } = testWindow();
    wait(40);
    assert.equal(window.begin(), true);
    pass(79);
    assert.equal(window.isOpen, true);
    pass(1);
    assert.equal(window.isOpen, false);
  });

  it('is never open for longer than a limit', () => {
    const { window, pass, wait } = testWindow();
    wait(199);
    window.begin();
    pass(200);
    assert.equal(window.isOpen, false);
  });

  it('stays as it is while waits are shorter', () => {
    const { window, pass, wait } = testWindow();
    wait(90);
    wait(3);
    window.begin();
    pass(100);
    assert.equal(window.isOpen, true);
  });

  it('closes after one long wait', () => {
    const { window, wait } = testWindow();
    wait(90);
    wait(5000);
    assert.equal(window.begin(), false);
  });

  it('takes twice as many short waits to open again each time that it was open in vain', () => {
    const { window, wait } = testWindow();
    wait(90);
    for (const needed of [2, 4, 4, 4]) {
      wait(5000); // in vain
      for (let i = 1; i < needed; i++) {
        wait(90);
        assert.equal(window.begin(), false, `after ${i} of ${needed}`);
      }
      wait(90);
      assert.equal(window.begin(), true, `after ${needed}`);
    }
  });

  it('opens at once again after some time in which it was open with success', () => {
    const { window, wait } = testWindow();
    for (let i = 0; i < 4; i++) {
      for (let j = 0; j < 4; j++) wait(90);
      wait(5000);
    }
    for (let i = 0; i < 4; i++) wait(90);
    wait(5000);
    wait(90);
    wait(90);
    assert.equal(window.begin(), true);
  });

  it('says nothing of what nobody waited for', () => {
    const { window, pass, wait } = testWindow();
    wait(90);
    pass(5000);
    window.end();
    assert.equal(window.begin(), true);
  });

  it('never opens where there is one processor', () => {
    const { window, wait } = testWindow(false);
    wait(1);
    assert.equal(window.begin(), false);
  });
});
