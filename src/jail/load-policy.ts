import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { packageFolder } from '../base/package-folder.ts';
import { CrosvmError } from '../errors.ts';
import type { JailOptions, JailSpec } from './jail-spec.ts';
import { compilePolicy, encodeProgram, type Violation } from './policy/compile-policy.ts';
import { parsePolicy } from './policy/parse-policy.ts';
import type { Policy } from './policy/policy.ts';
import { syscallNumbers } from './policy/syscalls.ts';

/** What a process does between its filter being in force and its zygote having the filter's listener. */
const HANDOVER = ['sendmsg', 'close'] as const;

/** The policies that come with the package. */
export function ownPolicyFolder(): string {
  return join(packageFolder(), 'seccomp', 'x86_64');
}

/** The filters of the policy `NAME_device.policy`. Throws `E_SECCOMP_POLICY`, `E_FILE_OPEN`. */
export function loadFilters(name: string, { policyFolder, logFailures }: JailOptions): JailSpec['filters'] {
  const path = join(policyFolder ?? ownPolicyFolder(), `${name}_device.policy`);
  const policy = parsePolicy(path, readText(path), (include) => readText(resolve(dirname(path), include)));
  const filter = (violation: Violation) =>
    Buffer.from(encodeProgram(compilePolicy(policy, violation))).toString('base64');
  if (logFailures) return { notify: undefined, kill: filter('log') };
  const canTell = HANDOVER.every((name) => isAlwaysAllowed(policy, name));
  return { notify: canTell ? filter('notify') : undefined, kill: filter('kill') };
}

function isAlwaysAllowed({ rules }: Policy, name: string): boolean {
  return rules.get(syscallNumbers.get(name)!)?.allowedIf.some((atoms) => atoms.length === 0) ?? false;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? String(cause);
    const reason = code === 'ENOENT' ? 'there is no such file' : code;
    throw new CrosvmError('E_FILE_OPEN', `the seccomp policy ${path} cannot be read: ${reason}`, { cause });
  }
}
