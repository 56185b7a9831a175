/** The command line as a user meets it: texts, mistakes, exit statuses, and that nothing is left behind. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { elfKernel } from './elf-kernel.ts';

const CROSVM = fileURLToPath(new URL('../bin/crosvm', import.meta.url));
const HYPERVISOR = process.env.CROSVM_TEST_HYPERVISOR ?? 'auto';
const folder = mkdtempSync(join(tmpdir(), 'crosvm-cli-'));
after(() => rmSync(folder, { recursive: true }));

function crosvm(...words: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CROSVM, ...words], {
    cwd: folder,
    encoding: 'utf8',
    input: '',
    timeout: 30_000,
  });
  return { status, stdout, stderr };
}

function file(name: string, contents: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, contents);
  return path;
}

test('help for the program, by three spellings', () => {
  const { status, stdout, stderr } = crosvm('--help');
  assert.equal(status, 0);
  assert.equal(stderr, '');
  assert.match(stdout, /^Usage: crosvm \[OPTIONS\] COMMAND/);
  for (const command of ['run', 'stop', 'stats', 'version', 'help'])
    assert.match(stdout, new RegExp(`^  ${command} `, 'm'));
  assert.equal(crosvm('help').stdout, stdout);
  assert.equal(crosvm('-h').stdout, stdout);
});

test('help for each command', () => {
  for (const command of ['run', 'stop', 'stats', 'version', 'help']) {
    const { status, stdout } = crosvm(command, '--help');
    assert.equal(status, 0);
    assert.match(stdout, new RegExp(`^Usage: crosvm ${command}`));
    assert.equal(crosvm('help', command).stdout, stdout);
  }
  assert.match(crosvm('run', '--help').stdout, /-m, --mem MIB +Guest memory\. \[default: 256\]/);
});

test('version', () => {
  assert.match(crosvm('version').stdout, /^crosvm \d+\.\d+\.\d+\n$/);
});

/** A wrong command line: one line that names what is wrong, exit 2. */
const wrong: [string[], string][] = [
  [[], 'crosvm: no command given; crosvm --help lists them'],
  [['rnu'], 'crosvm: unknown command "rnu" (did you mean run?)'],
  [['help', 'stpo'], 'crosvm: help: unknown command "stpo" (did you mean stop?)'],
  [['--extended', 'run'], 'crosvm: unknown option --extended'],
  [
    ['--log-level', 'loud', 'run'],
    'crosvm: --log-level loud: "loud" is not one of off, error, warn, info, debug, trace',
  ],
  [['run'], 'crosvm: run: KERNEL is missing'],
  [['run', '--bios', 'b', 'k'], 'crosvm: run: a KERNEL and --bios exclude each other'],
  [['run', '--intrid', 'x', 'k'], 'crosvm: run: unknown option --intrid (did you mean --initrd?)'],
  [['run', '-m', '1G', 'k'], 'crosvm: run: -m 1G: size: "1G" is not a whole number'],
  [['run', '-c', '0', 'k'], 'crosvm: run: -c 0: num-cores: 0 is not between 1 and 255'],
  [
    ['run', '--hypervisor', 'kmv', 'k'],
    'crosvm: run: --hypervisor kmv: "kmv" is not one of auto, kvm, soft (did you mean kvm?)',
  ],
  [['run', '--serial', 'num=9', 'k'], 'crosvm: run: there is no serial port 9, they are 1 to 4'],
  [['run', '--serial', 'type=file', 'k'], 'crosvm: run: serial port 1 of type=file needs path='],
  [
    ['run', '--serial', 'stdin', '--serial', 'num=2,stdin', 'k'],
    'crosvm: run: more than one serial port is given stdin',
  ],
  [['stop'], 'crosvm: stop: SOCKET is missing'],
  [['stop', 'a', 'b'], 'crosvm: stop: unexpected argument b'],
  [['stats'], 'crosvm: stats: SOCKET is missing'],
  [['stats', '--jsn', 'a'], 'crosvm: stats: unknown option --jsn (did you mean --json?)'],
  [['version', '-x'], 'crosvm: version: unknown option -x'],
];
for (const [words, line] of wrong) {
  test(`wrong: crosvm ${words.join(' ')}`, () => {
    assert.deepEqual(crosvm(...words), { status: 2, stdout: '', stderr: `${line}\n` });
  });
}

/** A right command line that cannot be carried out: one line, exit 1, and no file more than before. */
function fails(name: string, words: () => string[], message: RegExp): void {
  test(`fails: ${name}`, () => {
    const line = words();
    if (line[0] === 'run' && !line.includes('--hypervisor')) line.splice(1, 0, '--hypervisor', HYPERVISOR);
    const before = readdirSync(folder);
    const { status, stdout, stderr } = crosvm(...line);
    assert.match(stderr, /^crosvm: [^\n]+\n$/);
    assert.match(stderr, message);
    assert.equal(stdout, '');
    assert.equal(status, 1);
    assert.deepEqual(readdirSync(folder), before);
  });
}

const kernel = () => file('not-a-kernel', 'this is not a kernel, it is a sentence\n'.repeat(300));

fails('no such kernel', () => ['run', 'nowhere'], /nowhere: .*no such file/);
fails('a kernel that is a folder', () => ['run', folder], /folder/);
fails('a kernel that is a device', () => ['run', '/dev/null'], /not a regular file/);
fails('not a kernel', () => ['run', kernel()], /not-a-kernel: .*not a kernel/);
fails('an empty kernel', () => ['run', file('empty', '')], /empty: the file is empty/);
fails('a truncated ELF kernel', () => ['run', file('short', Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 2, 1))], /short: /);
fails(
  'an initrd larger than memory',
  () => ['run', '-m', '32', '-i', file('initrd', new Uint8Array(20 << 20)), file('tiny', elfKernel([]))],
  /initrd: .*room for/,
);
fails(
  'a command line too long',
  () => ['run', '-m', '32', '-p', 'x'.repeat(5000), file('tiny', elfKernel([]))],
  /command line has \d+ bytes/,
);
fails('a kernel that memory is too small for', () => ['run', '-m', '8', file('tiny', elfKernel([]))], /--mem/);
fails('no memory', () => ['run', '-m', '0', kernel()], /memory/);
fails('more memory than there is', () => ['run', '-m', '4294967296', kernel()], /memory/);
fails('no such initrd', () => ['run', '-i', 'nowhere', kernel()], /nowhere: .*no such file/);
fails('no such BIOS', () => ['run', '--bios', 'nowhere'], /nowhere: .*no such file/);
fails('no such ACPI table', () => ['run', '--acpi-table', 'nowhere', kernel()], /nowhere: .*no such file/);
fails(
  'a KVM device that is none',
  () => ['run', '--hypervisor', 'kvm[device=/nowhere]', kernel()],
  /nowhere.*--hypervisor soft/,
);
fails(
  'a KVM device that is another',
  () => ['run', '--hypervisor', 'kvm', '--kvm-device', '/dev/null', kernel()],
  /not a KVM device/,
);
fails(
  'a serial file that cannot be',
  () => ['run', '--serial', 'type=file,path=/nowhere/x', kernel()],
  /serial port 1: .*nowhere/,
);
fails('serial input that is missing', () => ['run', '--serial', 'input=nowhere', kernel()], /input: .*nowhere/);
fails('a socket in use', () => ['run', '-s', file('taken.sock', ''), kernel()], /taken\.sock.*there already/);
fails('a socket path too long', () => ['run', '-s', join(folder, 'x'.repeat(120)), kernel()], /x{120} has \d+ bytes/);
fails('a socket in a folder that is missing', () => ['run', '-s', join(folder, 'none', 'x'), kernel()], /none/);
fails('a socket in a folder, beside a kernel that is none', () => ['run', '-s', folder, kernel()], /not a kernel/);
fails('stopping at no socket', () => ['stop', 'nowhere'], /nowhere: there is no such socket/);
fails('stopping at a file', () => ['stop', file('plain', '')], /plain/);
fails('statistics of no socket', () => ['stats', 'nowhere'], /nowhere: there is no such socket/);
fails('statistics of a file', () => ['stats', '--json', file('plain2', '')], /plain2/);

test('fails: an unreadable kernel', { skip: process.getuid?.() === 0 && 'root may read everything' }, () => {
  const path = file('secret', 'x');
  chmodSync(path, 0);
  const { status, stderr } = crosvm('run', path);
  assert.match(stderr, /^crosvm: run: .*secret: [^\n]*may not open it\n$/);
  assert.equal(status, 1);
});

test('fails: a socket in a folder that may not be written', {
  skip: process.getuid?.() === 0 && 'root may write',
}, () => {
  const closed = join(folder, 'closed');
  mkdirSync(closed, { mode: 0o500 });
  assert.equal(crosvm('run', '-s', closed, kernel()).status, 1);
});
