/**
 * Runs every `step`-th case of the matrix, from `first` to before `end`, in folders of its own. The only argument is a
 * `MatrixShare` as JSON. A process for each share, as locks would go from thread to thread with programs that they start.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { runMatrixCase } from './matrix-case.ts';

export interface MatrixShare {
  readonly first: number;
  readonly end: number;
  readonly step: number;
  /** Where folders are made. */
  readonly root: string;
}

const { first, end, step, root } = JSON.parse(process.argv[2]!) as MatrixShare;
for (let seed = first; seed < end; seed += step) {
  const folder = mkdtempSync(join(root, 'crosvm-qcow2-'));
  try {
    await runMatrixCase(folder, seed);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
