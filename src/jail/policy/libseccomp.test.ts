/** What our compiler makes of rules against what libseccomp does. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ownPolicyFolder } from '../load-policy.ts';
import { compilePolicy, SECCOMP_RET_ALLOW } from './compile-policy.ts';
import { parsePolicy } from './parse-policy.ts';
import type { Rule } from './policy.ts';
import { libseccompFilters, libseccompMissing } from './testing/libseccomp.ts';
import { RULES } from './testing/rules.ts';
import { runFilter } from './testing/run-filter.ts';
import { isAllowed, samplesOf } from './testing/samples.ts';

const READ = 0;
/** What libseccomp has no way to say: two comparisons of one argument that must both be true. */
const MAX_UNSAID = 3;

/** Every rule of the policies that we ship, and those of the tests. */
function allRules(): [string, number, Rule][] {
  const folder = ownPolicyFolder();
  const read = (path: string) => readFileSync(join(folder, path), 'utf8');
  const shipped = readdirSync(folder)
    .filter((name) => name.endsWith('_device.policy'))
    .flatMap((name) =>
      [...parsePolicy(name, read(name), read).rules].map(([syscall, rule]) => ({ name, syscall, rule })),
    );
  const tested = RULES.map(([text]) => {
    const [[syscall, rule]] = [...parsePolicy('test', `read: ${text}`, () => '').rules] as [[number, Rule]];
    return { name: `rule ${text}`, syscall, rule };
  });
  return [...shipped, ...tested].map(({ name, syscall, rule }) => [`${name}: ${syscall}`, syscall, rule]);
}

test('libseccomp allows and refuses the same calls', { skip: libseccompMissing() }, () => {
  const rules = allRules();
  const filters = libseccompFilters(rules.map(([, syscall, rule]) => [syscall, rule]));
  assert.equal(filters.length, rules.length);
  assert.ok(rules.length > 200);
  assert.ok(filters.filter((filter) => filter === undefined).length <= MAX_UNSAID);
  let compared = 0;
  for (const [i, [name, syscall, rule]] of rules.entries()) {
    const theirs = filters[i];
    if (theirs === undefined) continue;
    const policy = { rules: new Map([[syscall, rule]]), defaultAction: { kind: 'kill' } } as const;
    const ours = compilePolicy(policy, 'kill');
    for (const args of samplesOf(rule)) {
      const allows = (filter: typeof ours) => runFilter(filter, syscall, args) === SECCOMP_RET_ALLOW;
      assert.equal(allows(ours), allows(theirs), `${name}(${args})`);
      assert.equal(allows(ours), isAllowed(rule, args), `${name}(${args})`);
      compared++;
    }
    const other = syscall === READ ? READ + 1 : READ;
    for (const filter of [ours, theirs]) assert.notEqual(runFilter(filter, other), SECCOMP_RET_ALLOW, name);
  }
  assert.ok(compared > 1000);
});
