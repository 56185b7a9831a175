import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { CrosvmError } from '../../errors.ts';
import {
  compilePolicy,
  encodeProgram,
  SECCOMP_RET_ALLOW,
  SECCOMP_RET_ERRNO,
  SECCOMP_RET_KILL_PROCESS,
  SECCOMP_RET_LOG,
  SECCOMP_RET_TRAP,
  SECCOMP_RET_USER_NOTIF,
  type Violation,
} from './compile-policy.ts';
import { ERRNOS, POLICY_CONSTANTS } from './constants.ts';
import { parsePolicy, type ReadInclude } from './parse-policy.ts';
import { syscallNumbers } from './syscalls.ts';
import { RULES } from './testing/rules.ts';
import { runFilter } from './testing/run-filter.ts';

const HIGH = 2n ** 32n;
const MAX = 2n ** 64n - 1n;
const noIncludes: ReadInclude = (path) => {
  throw new CrosvmError('E_FILE_OPEN', `${path}: there is no such file`);
};

function compiled(text: string, { violation = 'kill' as Violation, include = noIncludes } = {}) {
  const program = compilePolicy(parsePolicy('test.policy', text, include), violation);
  return (name: string, ...args: bigint[]) => runFilter(program, syscallNumbers.get(name)!, args);
}

for (const [rule, allowed, forbidden] of RULES) {
  test(`rule: ${rule}`, () => {
    const run = compiled(`write: ${rule}`);
    for (const args of allowed) assert.equal(run('write', ...args), SECCOMP_RET_ALLOW, `${args}`);
    for (const args of forbidden) assert.equal(run('write', ...args), SECCOMP_RET_KILL_PROCESS, `${args}`);
    assert.equal(run('read', ...(allowed[0] ?? [])), SECCOMP_RET_KILL_PROCESS);
  });
}

test('every comparison is right for each order of the two halves of a number', () => {
  const values = [0n, 1n, 2n, HIGH, HIGH + 1n, HIGH + 2n, 2n * HIGH, 2n * HIGH + 1n, MAX];
  const meanings: Record<string, (a: bigint, b: bigint) => boolean> = {
    '==': (a, b) => a === b,
    '!=': (a, b) => a !== b,
    '<': (a, b) => a < b,
    '<=': (a, b) => a <= b,
    '>': (a, b) => a > b,
    '>=': (a, b) => a >= b,
    '&': (a, b) => (a & b) !== 0n,
    in: (a, b) => (a & ~b) === 0n,
  };
  for (const [operator, isTrue] of Object.entries(meanings)) {
    for (const b of values) {
      const run = compiled(`read: arg3 ${operator} ${b} && arg0 == 7`);
      for (const a of values) {
        const expected = isTrue(a, b) ? SECCOMP_RET_ALLOW : SECCOMP_RET_KILL_PROCESS;
        assert.equal(run('read', 7n, 0n, 0n, a), expected, `${a} ${operator} ${b}`);
        assert.equal(run('read', 6n, 0n, 0n, a), SECCOMP_RET_KILL_PROCESS);
      }
    }
  }
});

test('actions: of a rule, for the other cases of a rule, and of the policy', () => {
  const run = compiled(`
    @default trap
    @frequency ./other.frequency
    openat: return EACCES            # a comment
    mmap: arg2 in ~PROT_EXEC; \\
          return ENOMEM
    {read, write}: 1
    getpid: log
    close: return 7
    ioctl: arg1 == 1`);
  assert.equal(run('openat'), SECCOMP_RET_ERRNO | 13);
  assert.equal(run('mmap', 0n, 0n, 3n), SECCOMP_RET_ALLOW);
  assert.equal(run('mmap', 0n, 0n, 4n), SECCOMP_RET_ERRNO | 12);
  assert.equal(run('read'), SECCOMP_RET_ALLOW);
  assert.equal(run('write'), SECCOMP_RET_ALLOW);
  assert.equal(run('getpid'), SECCOMP_RET_LOG);
  assert.equal(run('close'), SECCOMP_RET_ERRNO | 7);
  assert.equal(run('ioctl', 0n, 1n), SECCOMP_RET_ALLOW);
  assert.equal(run('ioctl', 0n, 2n), SECCOMP_RET_TRAP);
  assert.equal(run('fork'), SECCOMP_RET_TRAP);
});

test('what a violation becomes', () => {
  const text = 'read: 1\nwrite: arg0 == 1\nfork: return EPERM';
  for (const [violation, value] of [
    ['notify', SECCOMP_RET_USER_NOTIF],
    ['log', SECCOMP_RET_LOG],
  ] as const) {
    const run = compiled(text, { violation });
    assert.equal(run('read'), SECCOMP_RET_ALLOW);
    assert.equal(run('write', 2n), value);
    assert.equal(run('ptrace'), value);
    assert.equal(run('fork'), SECCOMP_RET_ERRNO | 1);
  }
});

test('other architectures and the x32 interface are always killed', () => {
  const program = compilePolicy(parsePolicy('p', '@default allow\nread: 1', noIncludes), 'log');
  assert.equal(runFilter(program, 0), SECCOMP_RET_ALLOW);
  assert.equal(runFilter(program, 0x4000_0000), SECCOMP_RET_KILL_PROCESS);
  assert.equal(runFilter(program, 0xffff_ffff), SECCOMP_RET_KILL_PROCESS);
  assert.equal(runFilter(program, 0, [], 0x4000_0003), SECCOMP_RET_KILL_PROCESS); // AUDIT_ARCH_I386
});

test("a file's own rule replaces the included one", () => {
  const include: ReadInclude = (path) =>
    path === './common.policy' ? 'ioctl: kill\nread: 1\n@default trap' : noIncludes(path);
  const run = compiled('ioctl: arg1 == 3\n@include ./common.policy', { include });
  assert.equal(run('ioctl', 0n, 3n), SECCOMP_RET_ALLOW);
  assert.equal(run('ioctl', 0n, 4n), SECCOMP_RET_TRAP);
  assert.equal(run('read'), SECCOMP_RET_ALLOW);
});

test('what is wrong is told with file and line', () => {
  const bad: [string, string][] = [
    ['read: 1\nread: 1', 'test.policy, line 2: there is a rule for read already'],
    ['\n# x\nreed: 1', 'test.policy, line 3: there is no system call "reed"'],
    ['65536: 1', 'test.policy, line 1: there is no system call "65536"'],
    ['read', 'test.policy, line 1: it is not "SYSTEM CALL: RULE"'],
    ['read:', 'test.policy, line 1: it ends too early'],
    ['read: 2', 'test.policy, line 1: "2" is not one of arg0 to arg5'],
    ['read: arg6 == 1', 'test.policy, line 1: "arg6" is not one of arg0 to arg5'],
    ['read: arg0 = 1', 'test.policy, line 1: "= 1" is not understood'],
    ['read: arg0 ! 1', 'test.policy, line 1: "! 1" is not understood'],
    ['read: arg0 == ', 'test.policy, line 1: it ends too early'],
    ['read: arg0 == PROT_EXE', 'test.policy, line 1: there is no constant "PROT_EXE"'],
    ['read: arg0 == constructor', 'test.policy, line 1: there is no constant "constructor"'],
    ['read: arg0 == 0x1z', 'test.policy, line 1: "0x1z" is not a number'],
    ['read: arg0 == 08', 'test.policy, line 1: "08" is not a number'],
    ['read: arg0 == 18446744073709551616', 'test.policy, line 1: 18446744073709551616 does not fit in 64 bits'],
    ['read: arg0 == 1 arg1 == 2', 'test.policy, line 1: "arg1" is unexpected'],
    ['read: arg0 == (1', 'test.policy, line 1: a ")" is missing'],
    ['read: arg0 == 1; arg1 == 2', 'test.policy, line 1: "arg1" is no action'],
    ['read: return EWHAT', 'test.policy, line 1: "EWHAT" is no error'],
    ['read: return 0', 'test.policy, line 1: "0" is no error'],
    ['read: return 4096', 'test.policy, line 1: "4096" is no error'],
    ['@default maybe', 'test.policy, line 1: "maybe" is no action'],
    ['@include ./no', 'test.policy, line 1: ./no: there is no such file'],
    ['@includes ./no', 'test.policy, line 1: it is not "SYSTEM CALL: RULE"'],
    [`read: ${'arg0 != 1 && '.repeat(80)}arg1 == 1`, 'too many comparisons are joined by "&&"'],
    [`read: ${'arg0 == 1 || '.repeat(1000)}arg1 == 1`, 'the policy is too long for the kernel'],
    [' '.repeat(2 ** 21), 'test.policy: is too long for a policy'],
  ];
  for (const [text, message] of bad) {
    assert.throws(() => compiled(text), { code: 'E_SECCOMP_POLICY', message }, text.slice(0, 50));
  }
});

test('an included policy includes no other', () => {
  assert.throws(() => compiled('@include a', { include: () => '\n@include a' }), {
    message: 'test.policy, line 1: a, line 2: an included policy cannot include another',
  });
});

test('the encoding is that of struct sock_filter', () => {
  const bytes = encodeProgram([{ code: 0x15, jt: 1, jf: 2, k: 0x8000_0001 }]);
  assert.deepEqual([...bytes], [0x15, 0, 1, 2, 1, 0, 0, 0x80]);
});

const header = '/usr/include/x86_64-linux-gnu/asm/unistd_64.h';
test("numbers of system calls are those of the system's header", { skip: !existsSync(header) && 'no header' }, () => {
  for (const [, name, number] of readFileSync(header, 'utf8').matchAll(/^#define __NR_(\w+) (\d+)$/gm)) {
    assert.equal(syscallNumbers.get(name!), Number(number), name);
  }
  assert.ok(syscallNumbers.size > 350);
});

test("constants are those of the system's headers", { skip: !existsSync('/usr/bin/gcc') && 'no gcc' }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'constants-'));
  try {
    const lines = Object.entries({ ...POLICY_CONSTANTS, 'errno.h': ERRNOS }).flatMap(([file, constants]) => [
      `#include <${file}>`,
      ...Object.entries(constants).map(
        ([name, value]) => `_Static_assert((long long)(${name}) == ${value}LL, "${name}");`,
      ),
    ]);
    const source = ['#define _GNU_SOURCE', '#include <sys/types.h>', ...lines].join('\n');
    writeFileSync(join(folder, 'constants.c'), source);
    execFileSync('gcc', ['-fsyntax-only', join(folder, 'constants.c')], { stdio: 'pipe' });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('whatever a policy says, it is compiled or refused with its line', () => {
  const good =
    '@default kill\n{read, write}: 1\nmmap: arg2 in ~PROT_EXEC || (arg0 & 0x10) && arg1 >= 8; return EPERM\n';
  const pieces = [
    '&&',
    '||',
    'arg0',
    '(',
    ')',
    '~',
    '|',
    'return',
    'kill',
    '1',
    ';',
    ':',
    '{',
    '}',
    '\\',
    '\n',
    '@',
    '#',
    '-',
  ];
  let seed = 1;
  const random = (n: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % n;
  };
  let refused = 0;
  for (let i = 0; i < 3000; i++) {
    let text = good;
    for (let n = random(4); n >= 0; n--) {
      const at = random(text.length);
      text = `${text.slice(0, at)}${pieces[random(pieces.length)]}${text.slice(at + random(6))}`;
    }
    try {
      const run = compiled(text);
      run('mmap', 1n, 2n, 3n);
    } catch (error) {
      assert.ok(error instanceof CrosvmError, `${text}\n${error}`);
      assert.match(error.message, /^test\.policy, line \d+: /);
      refused++;
    }
  }
  assert.ok(refused > 1000 && refused < 3000, `${refused}`);
});
