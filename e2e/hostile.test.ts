/** Hostile guest code on the whole software CPU: nothing escapes, and all ways to execute it come to the same. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ATTACKS } from './hostile/attacks.ts';
import { programOf } from './hostile/generate.ts';
import { MODES } from './hostile/program.ts';
import { runHostile } from './hostile/watch.ts';

const PROGRAMS = 120;
/** Seeds of programs that found something once. */
const FOUND = [69, 79, 954, 962, 1_064_143_398];

const milliseconds = Number.POSITIVE_INFINITY;

test('random programs of every kind', async () => {
  const { programs, failures, endings } = await runHostile({ milliseconds, seed: 1, programs: PROGRAMS });
  assert.deepEqual(failures, []);
  assert.equal(programs, PROGRAMS);
  // The programs do something: they meet exceptions and go on behind them, until there are no more entries.
  assert.ok(endings.exited > PROGRAMS / 5, JSON.stringify(endings));
  assert.ok(endings.shutdown > 0 && endings.error > 0 && endings.stopped > 0, JSON.stringify(endings));
});

test('programs that found something', async () => {
  for (const seed of FOUND) {
    const { failures } = await runHostile({ milliseconds, seed, programs: 1 });
    assert.deepEqual(failures, []);
  }
});

test('a seed gives the same program each time, in all modes', () => {
  const modes = new Set<string>();
  for (let seed = 0; seed < 20; seed++) {
    const program = programOf(seed);
    assert.deepEqual(programOf(seed), program);
    modes.add(program.mode);
  }
  assert.deepEqual([...modes].sort(), [...MODES].sort());
  for (const name of Object.keys(ATTACKS))
    assert.ok(
      programOf(1, [name]).code.some((byte) => byte !== 0),
      name,
    );
});
