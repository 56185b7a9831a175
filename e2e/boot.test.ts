/** Linux on the software CPU, and `npm start` as a user meets it. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { GUEST_IS_UP } from '../tools/initramfs.ts';
import { projectFolder } from '../tools/setup.js';
import { BOOTS, testLinuxBoot, testLinuxBoots } from './linux-boots.ts';
import { BOOT_TIMEOUT_MS, finish } from './linux-guest.ts';
import { testLinuxSmp } from './linux-smp.ts';

const NPM_START = join(projectFolder, 'tools', 'start.js');

testLinuxBoots('soft');
for (const jit of ['off', '5']) testLinuxBoot(BOOTS[0]!, 'soft', '--jit', jit, '--jit-cache', 'off');
if (process.arch === 'x64') {
  testLinuxSmp('soft');
  testLinuxSmp('soft', '--jit', 'off');
}

test('npm start feeds standard input to the guest and powers it off at the end', async () => {
  const { status, console, stderr } = await finish(NPM_START, [], "echo 'a  b' | tr a-b x-y\nuname -sm\n");
  // A kernel that powers off says so even when it was told to be quiet.
  const [answers = ''] = console.slice(console.indexOf(GUEST_IS_UP)).split(/^\[.*Power down$/m);
  assert.equal(answers, `${GUEST_IS_UP}\nx  y\nLinux x86_64\n`, `${console}\n${stderr}`);
  assert.equal(status, 0);
});

const hasScript = spawnSync('script', ['--version']).status === 0;
test('npm start on a terminal gives a shell; Ctrl-A x quits and the terminal is as before', {
  skip: !hasScript && 'no script(1)',
}, async () => {
  const line = `'${process.execPath}' '${NPM_START}'; echo status $?; stty -a`;
  const child = spawn('script', ['-qec', line, '/dev/null'], {
    timeout: BOOT_TIMEOUT_MS,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let seen = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    seen += text;
  });
  const exited = once(child, 'exit').then(() => 'exited');
  const waitFor = async (pattern: RegExp) => {
    while (!pattern.test(seen)) {
      const event = await Promise.race([once(child.stdout, 'data'), exited]);
      assert.notEqual(event, 'exited', `no ${pattern} in ${seen.slice(-3000)}`);
    }
  };
  await waitFor(/^\/root # /m);
  child.stdin.write('echo $((6 * 7)) is it\r');
  await waitFor(/^42 is it\r$/m);
  // Ctrl-C reaches the guest, where it ends a program.
  child.stdin.write('echo $((2 + 1)) to go; cat\r');
  await waitFor(/^3 to go\r$/m);
  // Only once cat answers: before it runs, Ctrl-C would go to the shell, which goes on and starts it.
  child.stdin.write('purr\r');
  await waitFor(/^purr\s+^purr\r$/m);
  child.stdin.write('\x03');
  // What is typed before the prompt may still be read by cat, and end with it.
  await waitFor(/^\^C\s+^\/root # /m);
  child.stdin.write('echo still $((1 + 1)) here\r');
  await waitFor(/^still 2 here\r$/m);
  child.stdin.write('\x01x');
  await waitFor(/status 0\r\n.*\sisig icanon /s);
  child.stdin.end();
  await exited;
});
