/** The software CPU against the host's: random sequences of every instruction that user code can execute. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { OPS } from '../src/hypervisor/soft/decode/opcodes.ts';
import { Campaign } from './differential/campaign.ts';
import { excluded, excludedOperations } from './differential/excluded.ts';
import { Rows } from './differential/generate.ts';
import { hostMissing } from './differential/host.ts';

const INTERPRETER = Number.POSITIVE_INFINITY;
/** Everything is compiled before it is executed. */
const COMPILER = 0;
const MOST_SHOWN = 5;

describe('the software CPU agrees with the CPU of the host', { skip: hostMissing() }, () => {
  // Batches of 1000 sequences: each of the about 500 operations is in some four of a batch, and must get to its end once.
  for (const [name, codeSize, threshold, batches] of [
    ['64-bit code, interpreted', 8, INTERPRETER, 30],
    ['64-bit code, compiled', 8, COMPILER, 15],
    ['32-bit code in compatibility mode, interpreted', 4, INTERPRETER, 12],
    ['32-bit code in compatibility mode, compiled', 4, COMPILER, 12],
  ] as const) {
    it(name, () => {
      const campaign = new Campaign(threshold);
      try {
        for (let seed = 1; seed <= batches && campaign.failures.length < MOST_SHOWN; seed++) {
          campaign.run({ seed, codeSize });
        }
      } finally {
        campaign.close();
      }
      assert.equal(campaign.failures.slice(0, MOST_SHOWN).join('\n\n'), '');
      assert.deepEqual([...campaign.missing], [], 'not implemented');
      const uncovered = new Rows(codeSize).ops.filter((op) => !campaign.covered.has(op));
      assert.deepEqual(uncovered, [], 'never executed');
    });
  }

  it('every operation is tested or has a reason', () => {
    const tested = new Set([...new Rows(8).ops, ...new Rows(4).ops]);
    assert.deepEqual(
      OPS.filter((op) => op !== 'invalid' && !tested.has(op) && excluded(op) === undefined),
      [],
    );
    assert.deepEqual(
      excludedOperations().filter((op) => !OPS.some((name) => name === op)),
      [],
    );
  });
});
