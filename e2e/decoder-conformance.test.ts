import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { IcedOracle } from '../src/hypervisor/soft/decode/iced-oracle.ts';
import { fetchBusybox, fetchKernel } from '../tools/guest-packages.ts';
import { vmlinuxOf } from '../tools/vmlinux.ts';

const SHF_EXECINSTR = 4;
const SHT_NOBITS = 8;

/** The executable sections of an ELF64 file. */
function executableSections(path: string): Uint8Array[] {
  const file = readFileSync(path);
  const headers = Number(file.readBigUInt64LE(0x28));
  const headerSize = file.readUInt16LE(0x3a);
  const sections: Uint8Array[] = [];
  for (let i = 0; i < file.readUInt16LE(0x3c); i++) {
    const header = headers + i * headerSize;
    const executable = (file.readUInt32LE(header + 8) & SHF_EXECINSTR) !== 0;
    if (!executable || file.readUInt32LE(header + 4) === SHT_NOBITS) continue;
    const offset = Number(file.readBigUInt64LE(header + 0x18));
    sections.push(new Uint8Array(file.subarray(offset, offset + Number(file.readBigUInt64LE(header + 0x20)))));
  }
  return sections;
}

/** Decodes linearly, with the lengths of iced-x86; returns how many instructions there were and the first differences. */
function sweep(path: string): { count: number; problems: string[] } {
  const problems: string[] = [];
  let count = 0;
  for (const bytes of executableSections(path)) {
    using oracle = new IcedOracle(bytes, 8);
    for (; oracle.position < bytes.length && problems.length < 10; count++) {
      const problem = oracle.next();
      if (problem !== null) problems.push(problem);
    }
  }
  return { count, problems };
}

/** What guests really execute: Debian's busybox and the kernel that `npm start` boots. */
const FILES = [
  { name: 'busybox', fetch: fetchBusybox, least: 100_000 },
  { name: 'a kernel', fetch: async () => vmlinuxOf(await fetchKernel()), least: 1_000_000 },
];

for (const { name, fetch, least } of FILES) {
  test(`every instruction of ${name} is decoded as iced-x86 does`, async (t) => {
    let path: string;
    try {
      path = await fetch();
    } catch (error) {
      t.skip(`it cannot be fetched here: ${(error as Error).message}`);
      return;
    }
    const { count, problems } = sweep(path);
    assert.deepEqual(problems, []);
    assert.ok(count > least, `${path} has only ${count} instructions`);
  });
}
