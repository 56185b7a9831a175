import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { Serial, SerialState } from './serial.ts';
import { hammer, RecordingLine, readReg, writeReg } from './testing.ts';

let line: RecordingLine;
let sent: number[];
let room: number;
let state: InstanceType<typeof SerialState>;
let serial: Serial;

function attach(): Serial {
  return new Serial(state, {
    interrupt: line,
    output: { write: (bytes) => sent.push(...bytes) },
    inputRoom: () => room++,
  });
}

beforeEach(() => {
  line = new RecordingLine();
  sent = [];
  room = 0;
  state = new SerialState(new SharedArrayBuffer(SerialState.byteLength));
  serial = attach();
  writeReg(serial, 4, 0x0b); // DTR, RTS, OUT2
  readReg(serial, 6);
});

test('output reaches the sink and the transmitter is always empty', () => {
  for (const c of Buffer.from('hi')) writeReg(serial, 0, c);
  assert.equal(Buffer.from(sent).toString(), 'hi');
  assert.equal(readReg(serial, 5), 0x60);
});

test('received bytes come in order and clear data ready', () => {
  assert.equal(serial.pushInput(Uint8Array.of(1, 2, 3)), 3);
  assert.equal(readReg(serial, 5) & 1, 1);
  assert.deepEqual(
    [0, 1, 2].map(() => readReg(serial, 0)),
    [1, 2, 3],
  );
  assert.equal(readReg(serial, 5) & 1, 0);
  assert.equal(readReg(serial, 0), 0);
});

test('every thread sees the same port', () => {
  serial.pushInput(Uint8Array.of(7));
  writeReg(serial, 7, 0x5a);
  const other = attach();
  assert.equal(readReg(other, 0), 7);
  assert.equal(readReg(other, 7), 0x5a);
});

test('the divisor replaces data and IER under DLAB', () => {
  writeReg(serial, 3, 0x83);
  assert.equal(readReg(serial, 0, 2), 12);
  writeReg(serial, 0, 0x0201, 2);
  assert.equal(readReg(serial, 0, 2), 0x0201);
  writeReg(serial, 3, 3);
  assert.equal(readReg(serial, 1), 0);
  assert.deepEqual(sent, []);
});

test('the FIFO bits of IIR follow FCR and toggling the enable bit empties the FIFO', () => {
  assert.equal(readReg(serial, 2), 0x01);
  writeReg(serial, 2, 0x01);
  assert.equal(readReg(serial, 2), 0xc1);
  serial.pushInput(Uint8Array.of(1, 2));
  writeReg(serial, 2, 0x00);
  assert.equal(readReg(serial, 2), 0x01);
  assert.equal(readReg(serial, 5) & 1, 0);
});

test('FCR clears the receive FIFO by itself', () => {
  writeReg(serial, 2, 0x01);
  serial.pushInput(Uint8Array.of(1, 2));
  writeReg(serial, 2, 0x03);
  assert.equal(readReg(serial, 5) & 1, 0);
});

test('below the trigger level the cause is a character time-out, from it on received data', () => {
  writeReg(serial, 2, 0x41); // trigger at 4
  writeReg(serial, 1, 0x01);
  serial.pushInput(Uint8Array.of(1, 2, 3));
  assert.equal(readReg(serial, 2), 0xcc);
  serial.pushInput(Uint8Array.of(4));
  assert.equal(readReg(serial, 2), 0xc4);
  assert.equal(line.level, true);
  for (let i = 0; i < 4; i++) readReg(serial, 0);
  assert.equal(readReg(serial, 2), 0xc1);
  assert.equal(line.level, false);
});

test('enabling the THR interrupt raises it, reading IIR takes it back, writing raises it again', () => {
  writeReg(serial, 1, 0x02);
  assert.equal(line.level, true);
  assert.equal(readReg(serial, 2), 0x02);
  assert.equal(line.level, false);
  assert.equal(readReg(serial, 2), 0x01);
  writeReg(serial, 0, 65);
  assert.equal(line.rises, 2);
  writeReg(serial, 0, 66); // unread: a new edge all the same
  assert.equal(line.rises, 3);
  writeReg(serial, 1, 0x00);
  writeReg(serial, 1, 0x02);
  assert.equal(readReg(serial, 2), 0x02);
});

test('OUT2 gates the interrupt', () => {
  writeReg(serial, 4, 0x03);
  writeReg(serial, 1, 0x02);
  assert.equal(line.level, false);
  writeReg(serial, 4, 0x0b);
  assert.equal(line.level, true);
});

test('priorities: line status, data, THR, modem', () => {
  writeReg(serial, 4, 0x1b); // loopback, no FIFO
  writeReg(serial, 0, 1);
  writeReg(serial, 0, 2); // overrun
  writeReg(serial, 1, 0x0f);
  writeReg(serial, 4, 0x18); // DTR and RTS drop: modem deltas
  assert.equal(readReg(serial, 2), 0x06);
  assert.equal(readReg(serial, 5), 0x63);
  assert.equal(readReg(serial, 2), 0x04);
  assert.equal(readReg(serial, 0), 1);
  assert.equal(readReg(serial, 2), 0x02);
  assert.equal(readReg(serial, 2), 0x00);
  assert.equal(readReg(serial, 6) & 0x0f, 0x03);
  assert.equal(readReg(serial, 2), 0x01);
});

test('loopback returns output, connects the modem lines and keeps the host out', () => {
  writeReg(serial, 4, 0x1a);
  assert.equal(readReg(serial, 6) & 0xf0, 0x90); // what Linux looks for
  serial.pushInput(Uint8Array.of(9));
  writeReg(serial, 0, 0x55);
  assert.deepEqual(sent, []);
  assert.equal(readReg(serial, 0), 0x55);
  assert.equal(readReg(serial, 5) & 1, 0);
  writeReg(serial, 4, 0x0b);
  assert.equal(readReg(serial, 0), 9);
  assert.equal(readReg(serial, 6) & 0xf0, 0xb0);
});

test('Linux finds a 16550A', () => {
  writeReg(serial, 1, 0);
  assert.equal(readReg(serial, 1), 0);
  writeReg(serial, 1, 0x0f);
  assert.equal(readReg(serial, 1), 0x0f);
  writeReg(serial, 3, 0xbf);
  writeReg(serial, 2, 0x01);
  assert.notEqual(readReg(serial, 2), 0); // not an EFR
  writeReg(serial, 3, 0x80);
  writeReg(serial, 2, 0x21); // no 64-byte FIFO
  assert.equal(readReg(serial, 2) >> 5, 6);
});

test('a full ring takes what fits and asks for more when half is read', () => {
  const big = new Uint8Array(5000).map((_, i) => i);
  const taken = serial.pushInput(big);
  assert.equal(taken, 4096);
  for (let i = 0; i < taken; i++) {
    assert.equal(readReg(serial, 0), i & 0xff);
    if (i < 1000) assert.equal(room, 0);
  }
  assert.equal(room, 1);
  assert.equal(serial.inputSpace(), 4096);
});

test('no access does harm', () => hammer(serial, 12));

test('the host sees whether the guest listens', () => {
  assert.equal(serial.isListening(), false);
  writeReg(serial, 1, 0x05);
  assert.equal(serial.isListening(), true);
  writeReg(serial, 1, 0x02);
  assert.equal(serial.isListening(), false);
});

test('a port that is busy takes nothing for now', () => {
  state.lock.acquire();
  assert.equal(serial.pushInput(Uint8Array.of(1)), 0);
  state.lock.release();
  assert.equal(serial.pushInput(Uint8Array.of(1)), 1);
});
