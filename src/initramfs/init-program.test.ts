import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { digitsIn, machineCodeOf, noAssembler } from '../base/testing/machine-code.ts';
import { initProgram, type ProgramStep } from './init-program.ts';

const path = (name: string) => fileURLToPath(new URL(`./${name}`, import.meta.url));
const [WRITE, EXECVE, CHDIR] = [1, 59, 80];
const say = (text: string) => ({ call: WRITE, args: [1, text, text.length], failure: '' });
const lost = { call: CHDIR, args: ['/nowhere'], failure: 'going nowhere: errno ' };
/** This machine runs such programs. */
const skip = process.platform === 'linux' && process.arch === 'x64' ? false : 'this is not Linux on x86-64';

describe('initProgram', () => {
  const folder = mkdtempSync(join(tmpdir(), 'init-program-'));
  after(() => rmSync(folder, { recursive: true }));

  function run(steps: readonly ProgramStep[], args: readonly string[] = [], env = {}): unknown {
    const program = join(folder, 'program');
    writeFileSync(program, initProgram(steps), { mode: 0o755 });
    const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', env });
    return { status, stdout, stderr };
  }

  it('has the bytes that the assembler makes of its text', (t) => {
    const missing = noAssembler();
    if (missing !== undefined) return t.skip(missing);
    assert.equal(digitsIn(path('init-program.ts')), machineCodeOf(path('init-program.s')));
  });

  it('makes its calls in order', { skip }, () => {
    assert.deepEqual(run([say('one '), say('two')]), { status: 1, stdout: 'one two', stderr: '' });
  });

  it('ends at a call that fails, and says why', { skip }, () => {
    const ended = { status: 1, stdout: 'one', stderr: 'going nowhere: errno 2\n' };
    assert.deepEqual(run([say('one'), lost, say('two')]), ended);
    const badNumber = { call: 9999, args: [], failure: 'no such call: ' };
    assert.deepEqual(run([badNumber]), { status: 1, stdout: '', stderr: 'no such call: 38\n' });
  });

  it('goes on after a call that may fail', { skip }, () => {
    const ended = { status: 1, stdout: 'two', stderr: 'going nowhere: errno 2\n' };
    assert.deepEqual(run([{ ...lost, optional: true }, say('two')]), ended);
  });

  it('becomes another program with its own arguments and environment', { skip }, () => {
    const exec = (program: string) => ({ call: EXECVE, args: [program], failure: `${program}: `, optional: true });
    const printed = run([exec('/none'), exec('/bin/sh')], ['-c', 'echo "$0 $1 $A"; exit 7', 'a', 'b'], { A: 'c' });
    assert.deepEqual(printed, { status: 7, stdout: 'a b c\n', stderr: '/none: 2\n' });
    const name = run([exec('/bin/sh')], ['-c', 'echo "$0"']);
    assert.deepEqual(name, { status: 0, stdout: '/bin/sh\n', stderr: '' });
  });

  it('takes five arguments', () => {
    assert.throws(() => initProgram([{ call: 1, args: [1, 2, 3, 4, 5, 6], failure: '' }]), RangeError);
  });
});
