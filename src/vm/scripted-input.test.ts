import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../devices/testing.ts';
import type { InputPort } from './input-pump.ts';
import { ScriptedInput } from './scripted-input.ts';

class Port implements InputPort {
  listening = false;
  room = 4;
  received = '';

  pushInput(bytes: Uint8Array): number {
    const taken = Math.min(bytes.length, this.room);
    this.room -= taken;
    this.received += new TextDecoder().decode(bytes.subarray(0, taken));
    return taken;
  }

  isListening(): boolean {
    return this.listening;
  }
}

function fixture(text: string) {
  const clock = new ManualClock();
  let rearmed = 0;
  const input = new ScriptedInput(clock, () => rearmed++);
  const port = new Port();
  input.connect(port, { num: 2, bytes: new TextEncoder().encode(text) });
  /** Lets time pass up to the next deadline. */
  const next = () => {
    clock.time = input.deadline();
    input.tick();
  };
  return { clock, input, port, next, rearmed: () => rearmed };
}

test('input comes when the guest has listened for some of its own time, then as there is room', () => {
  const { clock, input, port, next, rearmed } = fixture('abcdef\n');
  assert.ok(rearmed() > 0);
  for (let i = 0; i < 50; i++) next();
  assert.equal(port.received, '');
  port.listening = true;
  for (let i = 0; i < 4; i++) next();
  assert.equal(port.received, 'abcd');

  const before = clock.time;
  port.room = 2;
  assert.equal(input.room(2), true);
  assert.equal(port.received, 'abcd', 'not with the lock of the port held');
  assert.equal(input.deadline(), before);
  next();
  assert.equal(port.received, 'abcdef');
});

test('the end is Ctrl-D, again and again', () => {
  const { port, next } = fixture('a\n');
  port.listening = true;
  port.room = 100;
  for (let i = 0; i < 10; i++) next();
  assert.ok(port.received.startsWith('a\n\x04\x04'), JSON.stringify(port.received));
  assert.equal(port.received.replaceAll('\x04', ''), 'a\n');
});

test('a port that is not fed from here is left to others', () => {
  const { input } = fixture('');
  assert.equal(input.room(1), false);
});

test('a timer that is cancelled does not run, and each runs once, in their order', () => {
  const clock = new ManualClock();
  const input = new ScriptedInput(clock, () => {});
  const ran: number[] = [];
  input.after(2, () => ran.push(1));
  const cancel = input.after(1, () => ran.push(2));
  input.after(1, () => ran.push(3));
  cancel();
  assert.equal(input.deadline(), 1e6);
  clock.time = 5e6;
  input.tick();
  input.tick();
  assert.deepEqual(ran, [1, 3]);
  assert.equal(input.deadline(), Number.POSITIVE_INFINITY);
});
