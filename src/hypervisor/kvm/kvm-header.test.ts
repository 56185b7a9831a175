/** Compares our tables with what the C compiler makes of this system's <linux/kvm.h>. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import * as constants from './constants.ts';
import * as ioctls from './ioctls.ts';
import { fieldSize } from './struct-layout.ts';
import { KVM_STRUCTS } from './structs.ts';

/** One line `name value` for everything that our tables claim. */
function expected(): Map<string, string> {
  const lines = new Map<string, string>();
  for (const { name, size, fields } of KVM_STRUCTS) {
    lines.set(`sizeof(struct ${name})`, String(size));
    for (const [field, { offset, type }] of Object.entries(fields)) {
      lines.set(`offsetof(struct ${name}, ${field})`, String(offset));
      if (fieldSize(type) !== 0) lines.set(`sizeof(((struct ${name} *)0)->${field})`, String(fieldSize(type)));
    }
  }
  for (const [name, value] of [...Object.entries(ioctls), ...Object.entries(constants)]) lines.set(name, String(value));
  return lines;
}

function missing(): string | false {
  if (!existsSync('/usr/include/linux/kvm.h')) return 'no <linux/kvm.h> here: install linux-libc-dev';
  return spawnSync('cc', ['--version']).status === 0 ? false : 'no C compiler here: install gcc';
}

test('struct layouts and numbers agree with <linux/kvm.h>', { skip: missing() }, () => {
  const claims = expected();
  const body = [...claims.keys()].map((c) => `printf("%llu\\n", (unsigned long long)(${c}));`).join('\n');
  const folder = mkdtempSync(join(tmpdir(), 'kvm-header-'));
  try {
    const source = join(folder, 'layout.c');
    const headers = '#include <stddef.h>\n#include <stdio.h>\n#include <sys/ioctl.h>\n#include <linux/kvm.h>\n';
    writeFileSync(source, `${headers}int main(void) {\n${body}\nreturn 0;\n}\n`);
    const compiled = spawnSync('cc', ['-o', join(folder, 'layout'), source], { encoding: 'utf8' });
    assert.equal(compiled.status, 0, compiled.stderr);
    const lines = spawnSync(join(folder, 'layout'), { encoding: 'utf8' }).stdout.trim().split('\n');
    const actual = new Map([...claims.keys()].map((claim, i) => [claim, lines[i]]));
    assert.deepEqual(Object.fromEntries(claims), Object.fromEntries(actual));
  } finally {
    rmSync(folder, { recursive: true });
  }
});
