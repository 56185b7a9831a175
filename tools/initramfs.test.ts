import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { commandStatus, GUEST_IS_UP, type GuestJob, initramfs, initScript } from './initramfs.ts';

const jobs: GuestJob[] = [
  { kind: 'shell' },
  { kind: 'console-commands' },
  { kind: 'console-lines' },
  { kind: 'commands', commands: ["echo 'a b'", 'false', 'exit 7'] },
];

for (const job of jobs) {
  test(`/init for ${job.kind} is a valid script that says it is up and powers off last`, () => {
    const script = initScript(job);
    assert.equal(spawnSync('sh', ['-n'], { input: script }).status, 0);
    assert.ok(script.startsWith('#!/bin/busybox sh\n'));
    assert.ok(script.includes(`echo '${GUEST_IS_UP}'\n`));
    assert.ok(script.endsWith('\npoweroff -f\n'));
  });
}

test('commands run as given, and their status follows', () => {
  const script = initScript(jobs[3]!);
  const lines = script.slice(script.indexOf('sh -c'), script.indexOf('poweroff'));
  const { stdout } = spawnSync('sh', { input: lines, encoding: 'utf8' });
  assert.equal(stdout, `a b\n${commandStatus(0)}\n${commandStatus(1)}\n${commandStatus(7)}\n`);
});

test('holds busybox and /init', () => {
  const archive = Buffer.from(initramfs(new TextEncoder().encode('BUSYBOX'), { kind: 'shell' })).toString('latin1');
  assert.match(archive, /bin\/busybox\0+BUSYBOX/);
  assert.match(archive, /init\0+#!\/bin\/busybox sh/);
});

test('holds the files that the job needs', () => {
  const files = [{ name: 'module.ko', data: new TextEncoder().encode('MODULE') }];
  const archive = Buffer.from(initramfs(new Uint8Array(), { kind: 'shell' }, files)).toString('latin1');
  assert.match(archive, /root\/module\.ko\0+MODULE/);
});

test('a file that is a program may be executed, others may not', () => {
  const files = [
    { name: 'program', data: new Uint8Array(), executable: true },
    { name: 'text', data: new Uint8Array() },
  ];
  const archive = Buffer.from(initramfs(new Uint8Array(), { kind: 'shell' }, files)).toString('latin1');
  // The mode is the second field of eight hexadecimal digits; the name follows the header of 110 characters.
  const modeOf = (name: string) => archive.slice(archive.indexOf(`root/${name}\0`) - 110).slice(14, 22);
  assert.equal(modeOf('program'), '000081ed');
  assert.equal(modeOf('text'), '000081a4');
});

test('lines from the console run one by one', () => {
  const script = initScript({ kind: 'console-lines' });
  const loop = script.slice(script.indexOf('while read'), script.indexOf('poweroff'));
  const { stdout } = spawnSync('sh', ['-c', loop], {
    input: 'a=\'x  y\'\n(echo "$a"; exit 3); echo $?\n',
    encoding: 'utf8',
  });
  assert.equal(stdout, 'x  y\n3\n');
});
