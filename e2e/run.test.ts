/** `crosvm run` from start to end: exit statuses, console input and output, control socket, signals, the terminal. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PM_PORT, PM1_CONTROL_OFFSET } from '../src/arch/x86_64/platform.ts';
import { canOpen } from '../src/base/cpu-info.ts';
import { elfKernel, PANIC, print64 } from './elf-kernel.ts';
import { echoUntil, outWord, print, RESET, rom, TRIPLE_FAULT } from './rom.ts';

const CROSVM = fileURLToPath(new URL('../bin/crosvm', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'crosvm-run-'));
after(() => rmSync(folder, { recursive: true }));

const CTRL_D = 4;
const PM1_CONTROL = PM_PORT + PM1_CONTROL_OFFSET;
const SLEEP_ENABLE_S5 = 1 << 13;
const ROMS = {
  reset: rom(print('hello\n'), RESET),
  'power-off': rom(print('off\n'), outWord(PM1_CONTROL, SLEEP_ENABLE_S5)),
  crash: rom(print('bye\n'), TRIPLE_FAULT),
  spin: rom(print('spinning\n')),
  echo: rom(print('ready\n'), echoUntil(CTRL_D), RESET),
};
for (const [name, bytes] of Object.entries(ROMS)) writeFileSync(join(folder, name), bytes);

/** CROSVM_TEST_HYPERVISOR restricts the tests to one; otherwise they run on all that there are. */
const HYPERVISORS =
  process.env.CROSVM_TEST_HYPERVISOR?.split(',') ?? (canOpen('/dev/kvm') ? ['soft', 'kvm'] : ['soft']);
for (const hypervisor of HYPERVISORS) describe(hypervisor, () => testOn(hypervisor));

function crosvm(input: string, ...line: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CROSVM, ...line], {
    encoding: 'utf8',
    input,
    timeout: 60_000,
  });
  return { status, stdout, stderr };
}

function start(line: readonly string[]): ChildProcess {
  return spawn(process.execPath, [CROSVM, ...line], { stdio: ['pipe', 'pipe', 'inherit'], timeout: 60_000 });
}

/** Waits until standard output holds `text`; returns all of it. */
async function seen(child: ChildProcess, text: string): Promise<string> {
  let all = '';
  for await (const chunk of child.stdout!.iterator({ destroyOnReturn: false })) {
    all += chunk;
    if (all.includes(text)) return all;
  }
  return assert.fail(`the output ended without ${JSON.stringify(text)}: ${JSON.stringify(all)}`);
}

function testOn(hypervisor: string): void {
  /** The software CPU runs one so far. */
  const cpus = hypervisor === 'kvm' ? '3' : '1';
  const words = (name: keyof typeof ROMS, ...more: string[]) => [
    ...['run', '--hypervisor', hypervisor, '-m', '16', '-c', cpus, '--bios', join(folder, name)],
    ...more,
  ];

  test('a guest that resets ends the VM with 0, or 32 with --extended-status', () => {
    assert.deepEqual(crosvm('', ...words('reset')), { status: 0, stdout: 'hello\n', stderr: '' });
    assert.deepEqual(crosvm('', '--extended-status', ...words('reset')), { status: 32, stdout: 'hello\n', stderr: '' });
    assert.equal(crosvm('', ...words('reset', '--extended-status')).status, 32);
  });

  test('ACPI power off ends the VM with 0', () => {
    const { status, stdout } = crosvm('', ...words('power-off', '--extended-status'));
    assert.deepEqual({ status, stdout }, { status: 0, stdout: 'off\n' });
  });

  test('a kernel is entered in long mode, and its panic ends the VM with 34', () => {
    const kernel = join(folder, 'kernel');
    writeFileSync(kernel, elfKernel(print64('panicking\n'), PANIC));
    const line = ['run', '--hypervisor', hypervisor, '-m', '64', '--extended-status', kernel];
    const { status, stdout, stderr } = crosvm('', ...line);
    assert.equal(stdout, 'panicking\n');
    assert.equal(stderr, 'crosvm: warn: the guest kernel panicked\n');
    assert.equal(status, 34);
  });

  test('a triple fault ends the VM with 33', () => {
    const { status, stdout, stderr } = crosvm('', ...words('crash', '--extended-status'));
    assert.equal(stdout, 'bye\n');
    assert.equal(stderr, 'crosvm: warn: the guest crashed (triple fault)\n');
    assert.equal(status, 33);
  });

  test('input reaches the guest once it listens, whole and in order, and Ctrl-D follows it', () => {
    const input = Array.from({ length: 2000 }, (_, i) => `line ${i}\n`).join('');
    const { status, stdout } = crosvm(input, ...words('echo'));
    assert.equal(stdout, `ready\n${input}\x04`);
    assert.equal(status, 0);
  });

  test('serial ports write to files and read from files', () => {
    const log = join(folder, 'log');
    const input = join(folder, 'input');
    writeFileSync(input, 'from a file');
    const { stdout } = crosvm('not read', ...words('echo', '--serial', `type=file,path=${log},input=${input},console`));
    assert.equal(stdout, '');
    assert.equal(readFileSync(log, 'utf8'), 'ready\nfrom a file\n\x04');
  });

  test('a reader of the console that goes away does not stop the guest', async () => {
    const child = start(words('echo', '--extended-status'));
    await seen(child, 'ready\n');
    child.stdout!.destroy();
    child.stdin!.end('abc\n');
    const [status] = await once(child, 'exit');
    assert.equal(status, 32);
  });

  test('a VM whose output nobody takes can be stopped', async () => {
    const path = join(folder, 'stalled.sock');
    const child = start(words('echo', '-s', path));
    const exit = once(child, 'exit');
    await seen(child, 'ready\n');
    child.stdout!.pause();
    // More than the pipe and the buffers of both sides hold.
    child.stdin!.on('error', () => {});
    child.stdin!.write('x'.repeat(1 << 20));
    await new Promise((resolve) => setTimeout(resolve, 1000));
    assert.equal(crosvm('', 'stop', path).status, 0);
    child.stdout!.resume();
    assert.deepEqual(await exit, [0, null]);
  });

  test('a split irqchip runs the same guests', { skip: hypervisor !== 'kvm' && 'of KVM only' }, () => {
    const { status, stdout } = crosvm('abc\n', ...words('echo', '--irqchip', 'split', '--extended-status'));
    assert.deepEqual({ status, stdout }, { status: 32, stdout: 'ready\nabc\n\x04' });
  });

  test('crosvm stop ends the VM, and the socket is gone', async () => {
    const path = join(folder, 'vm.sock');
    const child = start(words('spin', '-s', path));
    const exit = once(child, 'exit');
    await seen(child, 'spinning\n');
    assert.deepEqual(crosvm('', ...words('reset', '-s', path)).status, 1); // in use
    assert.deepEqual(crosvm('', 'stop', path), { status: 0, stdout: '', stderr: '' });
    assert.deepEqual(await exit, [0, null]);
    assert.ok(!readdirSync(folder).includes('vm.sock'));
  });

  test('crosvm stats shows growing numbers of a guest that runs', async () => {
    const path = join(folder, 'stats.sock');
    const child = start(words('echo', '-s', path));
    const exit = once(child, 'exit');
    await seen(child, 'ready\n');
    const read = () => JSON.parse(crosvm('', 'stats', '--json', path).stdout);
    const before = read();
    assert.deepEqual([before.version, before.hypervisor, before.vcpus.length], [1, hypervisor, Number(cpus)]);
    assert.ok(before.vcpus[0].exits.portWrites >= 'ready\n'.length, JSON.stringify(before));
    child.stdin!.write('x'.repeat(100));
    await seen(child, 'x'.repeat(100));
    const after = read();
    const written = (now: typeof after) => now.total.exits.portWrites;
    assert.ok(written(after) >= written(before) + 100, JSON.stringify(after));
    if (hypervisor === 'soft') assert.ok(after.vcpus[0].instructions > before.vcpus[0].instructions);
    const { status, stdout, stderr } = crosvm('', 'stats', path);
    assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
    assert.match(stdout, /^exits\n {2}port reads +[1-9][0-9,]*/m);
    child.stdin!.end();
    await exit;
    assert.equal(crosvm('', 'stats', path).status, 1);
  });

  test('--jit off compiles nothing, --jit 0 more than what is executed often', {
    skip: hypervisor !== 'soft' && 'of the software CPU only',
  }, async () => {
    const path = join(folder, 'jit.sock');
    const compiled = async (jit: string) => {
      const child = start(words('spin', '-s', path, '--jit', jit));
      const exit = once(child, 'exit');
      await seen(child, 'spinning\n');
      const { total } = JSON.parse(crosvm('', 'stats', '--json', path).stdout);
      crosvm('', 'stop', path);
      await exit;
      return total.jit.compiled;
    };
    assert.equal(await compiled('off'), 0);
    const [often, all] = [await compiled('auto'), await compiled('0')];
    assert.ok(all > often, `${all} > ${often}`);
  });

  test('a folder gets a socket named after the process; a signal ends the VM in good order', async () => {
    for (const [signal, status] of [
      ['SIGTERM', 143],
      ['SIGINT', 130],
      ['SIGHUP', 129],
    ] as const) {
      const child = start(words('spin', '-s', folder));
      const exit = once(child, 'exit');
      await seen(child, 'spinning\n');
      assert.ok(readdirSync(folder).includes(`crosvm-${child.pid}.sock`));
      child.kill(signal);
      assert.deepEqual(await exit, [status, null]);
      assert.ok(!readdirSync(folder).includes(`crosvm-${child.pid}.sock`));
    }
  });

  test('a program with a VM in it can exit at any time', () => {
    const module = new URL('../src/vm/create-vm.ts', import.meta.url).href;
    const config = { hypervisor, mem: 16, bios: join(folder, 'spin') };
    const program = join(folder, 'program.mjs');
    const text = `
      const { createVm } = await import(${JSON.stringify(module)});
      await createVm(${JSON.stringify(config)});
      setTimeout(() => process.exit(7), 200);`;
    writeFileSync(program, text);
    const { status, stderr } = spawnSync(process.execPath, [program], { encoding: 'utf8', timeout: 60_000 });
    assert.deepEqual([status, stderr], [7, '']);
  });

  const hasScript = spawnSync('script', ['--version']).status === 0;
  test('on a terminal, Ctrl-A x quits and the mode is restored', { skip: !hasScript && 'no script(1)' }, async () => {
    const line = [process.execPath, CROSVM, ...words('echo')].map((w) => `'${w}'`).join(' ');
    const child = spawn('script', ['-qec', `${line}; echo status $?; stty -a`, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'inherit'],
      timeout: 60_000,
    });
    await seen(child, 'ready');
    child.stdin!.write('a\x03\x01\x01b');
    await seen(child, 'b');
    child.stdin!.write('\x01x');
    const rest = await seen(child, 'icanon');
    assert.match(rest, /status 0/);
    assert.match(rest, /\sicanon/);
    assert.match(rest, /\sisig/);
    child.stdin!.end();
  });
}
