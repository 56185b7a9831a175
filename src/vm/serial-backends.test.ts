import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { close, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY, open, read } from '../base/fd.ts';
import { serialSyntax } from '../cli/options/serial.ts';
import { attachSerialTarget, closeSerialTarget, DescriptorSink, openSerialTarget } from './serial-backends.ts';
import { resolveSerialPorts } from './serial-ports.ts';

const port = (option: string) => resolveSerialPorts([serialSyntax.parse(option)]).com[0]!;
const bytes = (text: string) => new TextEncoder().encode(text);

function inFolder(run: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'crosvm-serial-'));
  try {
    run(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('a file is emptied first and then gets all', () => {
  inFolder((folder) => {
    const path = join(folder, 'log');
    writeFileSync(path, 'old contents');
    const target = openSerialTarget(port(`type=file,path=${path}`));
    const sink = attachSerialTarget(target, () => false);
    sink.write(bytes('a'));
    sink.write(bytes('bc'));
    closeSerialTarget(target);
    assert.equal(readFileSync(path, 'utf8'), 'abc');
  });
});

test('what cannot be opened is refused with the number of the port', () => {
  inFolder((folder) => {
    const refused = (option: string) =>
      assert.throws(() => openSerialTarget(port(option)), { code: 'E_SERIAL', message: /^serial port 1: .+/ }, option);
    refused(`type=file,path=${folder}`);
    refused(`type=file,path=${folder}/none/x`);
    refused(`type=unix,path=${folder}/none`);
    refused(`type=unix,path=${'x'.repeat(200)}`);
  });
});

test('a sink swallows, standard output is not closed', () => {
  attachSerialTarget(openSerialTarget(port('type=sink')), () => false).write(bytes('gone'));
  closeSerialTarget(openSerialTarget(port('type=stdout')));
  assert.equal(process.stdout.write(''), true);
});

/** A FIFO of which both ends are open. */
function withPipe(flags: number, run: (reader: number, writer: number) => void): void {
  inFolder((folder) => {
    const path = join(folder, 'fifo');
    execFileSync('mkfifo', [path]);
    const holder = open(path, O_RDWR);
    const reader = open(path, O_RDONLY | O_NONBLOCK);
    const writer = open(path, O_WRONLY | flags);
    close(holder);
    run(reader, writer);
    close(writer);
  });
}

for (const [kind, flags] of [
  ['blocking', 0],
  ['non-blocking', O_NONBLOCK],
] as const) {
  test(`a full ${kind} pipe is waited for until the VM ends`, () => {
    withPipe(flags, (reader, writer) => {
      let asked = 0;
      const sink = new DescriptorSink(writer, () => ++asked === 2);
      for (let i = 0; i < 40; i++) if (asked === 0) sink.write(new Uint8Array(4096).fill(i));
      assert.equal(asked, 2);
      const got = new Uint8Array(4096);
      for (let i = 0; i < 16; i++) {
        assert.equal(read(reader, got), 4096);
        assert.ok(got.every((b) => b === i));
      }
      close(reader);
    });
  });
}

test('a reader that is gone ends the output quietly', () => {
  withPipe(0, (reader, writer) => {
    const sink = new DescriptorSink(writer, () => assert.fail('must not wait'));
    close(reader);
    sink.write(bytes('x'));
    sink.write(bytes('y'));
  });
});
