import assert from 'node:assert/strict';
import { test } from 'node:test';
import { statisticsJson, statisticsTable } from './statistics.ts';

const TWO = {
  hypervisor: 'soft',
  vcpus: [
    { instructions: 1234567, tlbMisses: 5, exits: { mmioReads: 1 }, exceptions: { '#PF': 3 }, jit: { regions: 0 } },
    { instructions: 10, tlbMisses: 0, exits: { mmioReads: 2 }, exceptions: {}, jit: { regions: 7 } },
  ],
} as const;

test('a table has a column for each vCPU and one for the sums', () => {
  assert.equal(
    statisticsTable(TWO, 80),
    [
      '                 vCPU 0  vCPU 1  all vCPUs',
      'instructions  1,234,567      10  1,234,577',
      'TLB misses            5       0          5',
      'exits',
      '  MMIO reads          1       2          3',
      'exceptions',
      '  #PF                 3       0          3',
      'JIT',
      '  regions             0       7          7',
      '',
    ].join('\n'),
  );
});

test('where the columns do not fit there are only the sums; one vCPU needs none', () => {
  assert.match(statisticsTable(TWO, 30), /^ +all vCPUs\ninstructions +1,234,577\n/);
  assert.match(statisticsTable({ ...TWO, vcpus: [TWO.vcpus[1]] }, 10), /^ +vCPU 0\ninstructions +10\n/);
});

test('JSON has the vCPUs and their sums on one line', () => {
  const text = statisticsJson(TWO);
  assert.equal(text.indexOf('\n'), text.length - 1);
  const { version, hypervisor, vcpus, total } = JSON.parse(text);
  assert.deepEqual({ version, hypervisor }, { version: 1, hypervisor: 'soft' });
  assert.deepEqual(vcpus[1], { id: 1, ...TWO.vcpus[1] });
  assert.deepEqual(total, {
    instructions: 1234577,
    tlbMisses: 5,
    exits: { mmioReads: 3 },
    exceptions: { '#PF': 3 },
    jit: { regions: 7 },
  });
});
