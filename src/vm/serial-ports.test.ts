import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serialSyntax } from '../cli/options/serial.ts';
import { guestConsoles, resolveSerialPorts } from './serial-ports.ts';

const resolve = (...options: string[]) => resolveSerialPorts(options.map((o) => serialSyntax.parse(o)));
const summary = (...options: string[]) =>
  resolve(...options).com.map((p) => [p.type, p.console && 'console', p.stdin && 'stdin'].filter(Boolean).join(' '));

test('COM1 is the console by default', () => {
  assert.deepEqual(summary(), ['stdout console stdin', 'sink', 'sink', 'sink']);
  assert.deepEqual(guestConsoles(resolve()), { console: 'ttyS0' });
});

test('another console takes its place', () => {
  assert.deepEqual(summary('type=stdout,num=2,console,stdin'), ['sink', 'stdout console stdin', 'sink', 'sink']);
  assert.deepEqual(guestConsoles(resolve('num=2,console')), { console: 'ttyS1' });
});

test('without another console, COM1 is one beside the ports given', () => {
  assert.deepEqual(summary('type=file,path=x,num=2'), ['stdout console stdin', 'file', 'sink', 'sink']);
  assert.deepEqual(summary('type=sink,num=2,stdin'), ['stdout console', 'sink stdin', 'sink', 'sink']);
});

test('COM1 as given stays, console or not', () => {
  assert.deepEqual(summary('type=stdout,num=1'), ['stdout', 'sink', 'sink', 'sink']);
  assert.deepEqual(guestConsoles(resolve('type=stdout,num=1')), {});
});

test('an early console is named by its port', () => {
  assert.deepEqual(guestConsoles(resolve('num=2,earlycon')), { console: 'ttyS0', earlycon: 'uart8250,io,0x2f8' });
});

test('virtio consoles are in the order of their numbers, beside the COM ports', () => {
  const ports = resolve(
    'hardware=virtio-console,num=9,type=sink,console',
    'hardware=virtio-console,num=2,type=stdout,stdin,name=agent',
    'num=2,type=sink',
  );
  assert.deepEqual(
    ports.consoles.map(({ num, name }) => [num, name]),
    [
      [2, 'agent'],
      [9, undefined],
    ],
  );
  assert.deepEqual(guestConsoles(ports), { console: 'hvc1' });
  // There is a console, so COM1 is none.
  assert.ok(ports.com.every(({ type, console, stdin }) => type === 'sink' && !console && !stdin));
  assert.deepEqual(guestConsoles(resolve('hardware=virtio-console')), { console: 'ttyS0' });
});

for (const [options, message] of [
  [['num=1,type=stdout', 'num=1'], 'serial port 1 is given twice'],
  [['num=1,console', 'num=2,console'], 'more than one serial port is given console'],
  [['num=1,earlycon', 'num=2,earlycon'], 'more than one serial port is given earlycon'],
  [['num=1,stdin', 'num=2,stdin'], 'more than one serial port is given stdin'],
  [['type=file'], 'serial port 1 of type=file needs path='],
  [['type=unix,num=3'], 'serial port 3 of type=unix needs path='],
  [['type=stdout,path=x'], 'serial port 1 of type=stdout takes no path='],
  [['stdin,input=x'], 'serial port 1 is given both stdin and input='],
  [['num=5'], 'there is no serial port 5, they are 1 to 4'],
  [['name=x'], 'serial port 1 takes no name=, which is for virtio consoles'],
  [['hardware=virtio-console,earlycon'], 'virtio console 1 cannot be an early console'],
  [['hardware=virtio-console,num=5', 'hardware=virtio-console,num=5'], 'virtio console 5 is given twice'],
  [['num=2,console', 'hardware=virtio-console,console'], 'more than one serial port is given console'],
  [['hardware=virtio-console,type=file'], 'virtio console 1 of type=file needs path='],
] as const) {
  test(`refuses ${options.join(' ')}`, () => {
    assert.throws(() => resolve(...options), { code: 'E_OPTION', message });
  });
}
