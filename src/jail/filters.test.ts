/** Filters in the kernel. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { DEVICE_TYPES } from '../device-process/create-device.ts';
import { loadFilters, ownPolicyFolder } from './load-policy.ts';
import { compilePolicy, encodeProgram, SECCOMP_RET_ALLOW } from './policy/compile-policy.ts';
import { parsePolicy } from './policy/parse-policy.ts';
import { syscallNumbers } from './policy/syscalls.ts';
import { RULES } from './policy/testing/rules.ts';
import { runFilter } from './policy/testing/run-filter.ts';
import { isAllowed, samplesOf } from './policy/testing/samples.ts';

const PROGRAM = fileURLToPath(new URL('./testing/filtered-calls.ts', import.meta.url));
/** Numbers that no system call has: one that is allowed fails with ENOSYS. */
const FIRST_UNUSED = 340;
const LAST_UNUSED = 423;
/** Calls made for each rule. */
const MAX_CALLS = 40;
const ENOSYS = 38;
const REFUSED = 77;

function words(policy: string, calls: readonly (readonly bigint[])[]): string[] {
  const program = encodeProgram(
    compilePolicy(
      parsePolicy('test', policy, () => ''),
      'kill',
    ),
  );
  const all = calls.map((call) => Array.from({ length: 7 }, (_, i) => String(call[i] ?? 0)));
  return [PROGRAM, Buffer.from(program).toString('base64'), JSON.stringify(all)];
}

test('the kernel takes every rule as it is meant', () => {
  const rules = RULES.filter(([rule]) => rule.startsWith('arg'));
  const policy = ['@default allow', ...rules.map(([rule], i) => `${FIRST_UNUSED + i}: ${rule}; return ${REFUSED}`)];
  const calls: bigint[][] = [];
  const expected: number[] = [];
  for (const [i, [, allowed, forbidden]] of rules.entries()) {
    for (const args of allowed) calls.push([BigInt(FIRST_UNUSED + i), ...args]);
    for (const args of forbidden) calls.push([BigInt(FIRST_UNUSED + i), ...args]);
    expected.push(...allowed.map(() => ENOSYS), ...forbidden.map(() => REFUSED));
  }
  const output = execFileSync(process.execPath, words(policy.join('\n'), calls), { encoding: 'utf8' });
  assert.deepEqual(JSON.parse(output), expected);
});

test('the kernel takes every rule of the policies that we ship as it is meant', () => {
  const folder = ownPolicyFolder();
  const read = (path: string) => readFileSync(join(folder, path), 'utf8');
  const files = readdirSync(folder).filter((name) => name.endsWith('_device.policy'));
  for (const file of files) {
    const { rules } = parsePolicy(file, read(file), read);
    // Under numbers that no call has, so that nothing is done; what a rule does otherwise is here to fail.
    const calls: bigint[][] = [];
    const expected: number[] = [];
    const renumbered = new Map(
      [...rules.values()].map((rule, i) => {
        const number = FIRST_UNUSED + i;
        const samples = samplesOf(rule);
        const some = samples.filter((_, j) => j % Math.ceil(samples.length / MAX_CALLS) === 0);
        for (const args of some) {
          calls.push([BigInt(number), ...args]);
          expected.push(isAllowed(rule, args) ? ENOSYS : REFUSED);
        }
        return [number, { ...rule, otherwise: { kind: 'errno', errno: REFUSED } }] as const;
      }),
    );
    assert.ok(FIRST_UNUSED + renumbered.size <= LAST_UNUSED);
    const program = encodeProgram(compilePolicy({ rules: renumbered, defaultAction: { kind: 'allow' } }, 'kill'));
    const all = calls.map((call) => Array.from({ length: 7 }, (_, i) => String(call[i] ?? 0)));
    const words = [PROGRAM, Buffer.from(program).toString('base64'), JSON.stringify(all)];
    const output = execFileSync(process.execPath, words, { encoding: 'utf8' });
    assert.deepEqual(JSON.parse(output), expected, file);
    assert.ok(expected.includes(ENOSYS) && expected.includes(REFUSED), file);
  }
});

test('what has no rule ends the process, and so does a call of the x32 interface', () => {
  const signalOf = (policy: string, call: bigint) => spawnSync(process.execPath, words(policy, [[call]])).signal;
  assert.equal(signalOf(`@default allow\n${FIRST_UNUSED}: kill`, BigInt(FIRST_UNUSED)), 'SIGSYS');
  assert.equal(signalOf('@default allow', 0x4000_0000n + 110n), 'SIGSYS');
});

/** What would let a device that was taken over reach more than it has. */
const NEVER = [
  ...['execve', 'execveat', 'fork', 'vfork', 'clone', 'clone3', 'ptrace', 'process_vm_readv', 'process_vm_writev'],
  ...[
    'open',
    'openat',
    'openat2',
    'creat',
    'mount',
    'move_mount',
    'fsopen',
    'pivot_root',
    'chroot',
    'unshare',
    'setns',
  ],
  ...['kill', 'tgkill', 'tkill', 'prctl', 'seccomp', 'bpf', 'perf_event_open', 'userfaultfd', 'keyctl', 'add_key'],
  ...[
    'io_uring_setup',
    'io_uring_enter',
    'io_uring_register',
    'pidfd_getfd',
    'pidfd_open',
    'rt_sigaction',
    'setuid',
    'setresuid',
    'capset',
  ],
  ...[
    'bind',
    'listen',
    'init_module',
    'finit_module',
    'kexec_load',
    'reboot',
    'name_to_handle_at',
    'open_by_handle_at',
  ],
];

/** Devices whose policy has something that most must not have. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  block_uring: ['io_uring_enter'],
  // Their root is the folder that they share.
  fs: ['openat', 'openat2'],
  '9p': ['openat', 'openat2'],
};
const POLICIES = [...new Set([...DEVICE_TYPES, ...Object.keys(ALLOWED)])];

for (const type of POLICIES) {
  test(`the policy of ${type} devices has none of what a device must never do`, () => {
    const folder = ownPolicyFolder();
    const read = (path: string) => readFileSync(join(folder, path), 'utf8');
    const program = compilePolicy(parsePolicy(type, read(`${type}_device.policy`), read), 'kill');
    for (const name of NEVER) {
      const isAllowed = ALLOWED[type]?.includes(name) ?? false;
      assert.equal(runFilter(program, syscallNumbers.get(name)!) === SECCOMP_RET_ALLOW, isAllowed, name);
    }
    assert.equal(runFilter(program, syscallNumbers.get('epoll_wait')!), SECCOMP_RET_ALLOW);
    assert.notEqual(loadFilters(type, {}).notify, undefined);
  });
}

test('there is no policy without a device', () => {
  const included = ['disk_files.policy', 'shared_folder.policy'];
  const names = [...[...POLICIES, 'common'].map((type) => `${type}_device.policy`), ...included];
  assert.deepEqual(readdirSync(ownPolicyFolder()).sort(), names.sort());
});
