import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InputPump } from './input-pump.ts';

/** A port with little room and timers that fire when told. */
class Fixture {
  room = Number.POSITIVE_INFINITY;
  listening = true;
  received = '';
  resumed = 0;
  readonly delays: number[] = [];
  #due: (() => void) | undefined;

  readonly pump = new InputPump(
    {
      pushInput: (bytes) => {
        const taken = Math.min(bytes.length, this.room);
        this.room -= taken;
        this.received += new TextDecoder().decode(bytes.subarray(0, taken));
        return taken;
      },
      isListening: () => this.listening,
    },
    {
      after: (ms, callback) => {
        assert.equal(this.#due, undefined);
        this.delays.push(ms);
        this.#due = callback;
        return () => {
          this.#due = undefined;
        };
      },
    },
  );

  push(text: string): boolean {
    return this.pump.push(new TextEncoder().encode(text), () => this.resumed++);
  }

  fire(times = 1): void {
    for (let i = 0; i < times; i++) {
      const callback = this.#due;
      assert.ok(callback, 'no timer is set');
      this.#due = undefined;
      callback();
    }
  }

  get idle(): boolean {
    return this.#due === undefined;
  }
}

test('nothing is sent before the guest has listened for a while', () => {
  const f = new Fixture();
  f.listening = false;
  f.push('abc\n');
  f.fire(5);
  f.listening = true;
  f.fire();
  f.listening = false; // only probed
  f.fire();
  assert.equal(f.received, '');
  f.listening = true;
  f.fire(3);
  assert.equal(f.received, 'abc\n');
  assert.ok(f.idle);
});

test('later input goes through at once', () => {
  const f = new Fixture();
  f.push('a');
  f.fire(3);
  f.push('b');
  assert.equal(f.received, 'ab');
});

test('a full port is waited for, in order and without loss', () => {
  const f = new Fixture();
  f.room = 2;
  f.push('abc');
  f.push('def');
  f.fire(3);
  assert.equal(f.received, 'ab');
  f.room = 3;
  f.pump.room();
  assert.equal(f.received, 'abcde');
  f.room = 9;
  f.pump.room();
  assert.equal(f.received, 'abcdef');
});

test('a port that took nothing is tried again by itself', () => {
  const f = new Fixture();
  f.room = 0;
  f.push('abc');
  f.fire(4);
  assert.equal(f.received, '');
  f.room = 2;
  f.fire();
  f.room = 2;
  f.fire();
  assert.equal(f.received, 'abc');
  assert.ok(f.idle);
});

test('a source is paused while much waits, and resumed once all is gone', () => {
  const f = new Fixture();
  f.room = 0;
  assert.equal(f.push('x'.repeat(65_536)), true);
  assert.equal(f.push('y'), false);
  f.fire(3);
  assert.equal(f.resumed, 0);
  f.room = 100_000;
  f.pump.room();
  assert.equal(f.resumed, 1);
});

test('the end is Ctrl-D on a line of its own, repeated with growing pauses', () => {
  const f = new Fixture();
  f.push('ls');
  f.pump.end();
  f.fire(3);
  assert.equal(f.received, 'ls\n');
  f.delays.length = 0;
  f.fire(9);
  assert.equal(f.received, `ls\n${'\x04'.repeat(9)}`);
  assert.deepEqual(f.delays, [500, 1000, 2000, 4000, 8000, 16000, 32000, 32000, 32000]);
});

test('input that ends in a newline, and empty input, get no other', () => {
  for (const text of ['ls\n', '']) {
    const f = new Fixture();
    f.push(text);
    f.pump.end();
    f.fire(4);
    assert.equal(f.received, `${text}\x04`);
  }
});

test('the end waits for a full port', () => {
  const f = new Fixture();
  f.room = 1;
  f.push('ab\n');
  f.pump.end();
  f.fire(3);
  assert.equal(f.received, 'a');
  f.room = 10;
  f.pump.room();
  f.fire();
  assert.equal(f.received, 'ab\n\x04');
});

test('closing cancels what is due', () => {
  const f = new Fixture();
  f.push('a');
  f.pump.close();
  assert.ok(f.idle);
  f.pump.room();
  assert.equal(f.push('b'), true);
  assert.equal(f.received, '');
});
