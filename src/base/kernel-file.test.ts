import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { openKernelFile } from './kernel-file.ts';

describe('openKernelFile', () => {
  const folder = mkdtempSync(join(tmpdir(), 'crosvm-kernel-file-'));
  after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'kernel');

  it('reads ranges', () => {
    writeFileSync(path, 'abcdef');
    using file = openKernelFile(path);
    assert.equal(file.size, 6);
    assert.equal(Buffer.from(file.readAt(2, 3)).toString(), 'cde');
  });

  it('notices that the file became shorter', () => {
    writeFileSync(path, 'abcdef');
    using file = openKernelFile(path);
    truncateSync(path, 3);
    assert.throws(() => file.readAt(2, 3), { code: 'E_FILE_CHANGED', message: /became shorter/ });
  });

  it('refuses what is not a regular file', () => {
    assert.throws(() => openKernelFile(folder), { code: 'E_FILE_OPEN', message: `${folder}: is a folder` });
    assert.throws(() => openKernelFile('/dev/null'), { code: 'E_FILE_OPEN', message: /not a regular file/ });
    assert.throws(() => openKernelFile(join(folder, 'none')), { code: 'E_FILE_OPEN', message: /no such file/ });
  });
});
