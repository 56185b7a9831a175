/** Compares our requests and structs with what the C compiler makes of this system's <linux/vhost.h>. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { memoryTable, vhostRequests, vringAddresses, vringFile, vringState } from './requests.ts';

/** C expressions for structs with the values below, and our bytes. */
const STRUCTS = {
  '(struct vhost_vring_state){ .index = 1, .num = 2 }': vringState(1, 2),
  '(struct vhost_vring_file){ .index = 1, .fd = -1 }': vringFile(1, -1),
  '(struct vhost_vring_addr){ .index = 1, .desc_user_addr = 2, .used_user_addr = 3, .avail_user_addr = 4 }':
    vringAddresses(1, { desc: 2, used: 3, avail: 4 }),
  '(struct { struct vhost_memory head; struct vhost_memory_region regions[2]; }){ { .nregions = 2 }, { { 1, 2, 3, 0 }, { 4, 5, 6, 0 } } }':
    memoryTable([
      { gpa: 1, size: 2, address: 3 },
      { gpa: 4, size: 5, address: 6 },
    ]),
};

function missing(): string | false {
  if (!existsSync('/usr/include/linux/vhost.h')) return 'no <linux/vhost.h> here: install linux-libc-dev';
  return spawnSync('cc', ['--version']).status === 0 ? false : 'no C compiler here: install gcc';
}

test('requests and structs agree with <linux/vhost.h>', { skip: missing() }, () => {
  const codes = Object.keys(vhostRequests).map((name) => `printf("%lu\\n", (unsigned long)${name});`);
  const structs = Object.keys(STRUCTS).map((expression) => `{ __auto_type x = ${expression}; print(&x, sizeof x); }`);
  const source = `#include <stdio.h>
    #include <sys/ioctl.h>
    #include <linux/vhost.h>
    static void print(void *p, int n) { for (int i = 0; i < n; i++) printf("%02x", ((unsigned char *)p)[i]); puts(""); }
    int main(void) { ${[...codes, ...structs].join('\n')} return 0; }\n`;
  const folder = mkdtempSync(join(tmpdir(), 'vhost-header-'));
  try {
    writeFileSync(join(folder, 'layout.c'), source);
    const compiled = spawnSync('cc', ['-o', join(folder, 'layout'), join(folder, 'layout.c')], { encoding: 'utf8' });
    assert.equal(compiled.status, 0, compiled.stderr);
    const lines = spawnSync(join(folder, 'layout'), { encoding: 'utf8' }).stdout.trim().split('\n');
    assert.deepEqual(lines, [
      ...Object.values(vhostRequests).map(String),
      ...Object.values(STRUCTS).map((bytes) => Buffer.from(bytes).toString('hex')),
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
