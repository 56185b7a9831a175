/** qcow2 images against qemu-img and qemu-io: both make them, change them in turns, and must agree on what they hold. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { runMatrixCase } from './disk/matrix-case.ts';
import { qemuToolsMissing } from './disk/qemu-tools.ts';

const missing = qemuToolsMissing();
if (missing !== false) console.error(`qcow2 tests are skipped: ${missing}`);

/** Combinations of options; more with CROSVM_TEST_QCOW2_CASES. */
const CASES = Number(process.env.CROSVM_TEST_QCOW2_CASES ?? 200);
/** Both programs wait for the medium often, which says nothing here. */
const inMemory = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
const FIRST = Number(process.env.CROSVM_TEST_QCOW2_SEED ?? 1);

test(`${CASES} images with random options, changed by qemu-io and by us`, { skip: missing }, async () => {
  for (let seed = FIRST; seed < FIRST + CASES; seed++) {
    const folder = mkdtempSync(join(inMemory, 'crosvm-qcow2-'));
    try {
      await runMatrixCase(folder, seed);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
});
