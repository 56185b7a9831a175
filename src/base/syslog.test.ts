import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SyslogSink } from './syslog.ts';

function recording() {
  const lines: string[] = [];
  return { lines, sink: new SyslogSink('vm', (_priority, _format, _type, line) => lines.push(line)) };
}
const bytes = (text: string) => new TextEncoder().encode(text);

test('sends whole lines with the tag', () => {
  const { lines, sink } = recording();
  sink.write(bytes('a %s b\r\n\nhal'));
  assert.deepEqual(lines, ['vm: a %s b']);
  sink.write(bytes('f\n'));
  sink.write(bytes('rest'));
  sink.flush();
  sink.flush();
  assert.deepEqual(lines, ['vm: a %s b', 'vm: half', 'vm: rest']);
});

test('cuts endless lines and removes control characters', () => {
  const { lines, sink } = recording();
  sink.write(bytes(`${'x'.repeat(1500)}\0y\n`));
  assert.deepEqual(lines, [`vm: ${'x'.repeat(1024)}`, `vm: ${'x'.repeat(476)} y`]);
});

test('the system takes a line', () => {
  const sink = new SyslogSink('crosvm-test');
  sink.write(bytes('hello\n'));
});
