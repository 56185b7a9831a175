/** Filters for rules, as libseccomp makes them: somebody else's opinion. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BpfInstruction } from '../compile-policy.ts';
import type { Atom, Rule } from '../policy.ts';

const INSTRUCTION_BYTES = 8;
const COMPARISONS: Readonly<Record<Exclude<Atom['operator'], '&' | 'in'>, string>> = {
  '==': 'SCMP_CMP_EQ',
  '!=': 'SCMP_CMP_NE',
  '<': 'SCMP_CMP_LT',
  '<=': 'SCMP_CMP_LE',
  '>': 'SCMP_CMP_GT',
  '>=': 'SCMP_CMP_GE',
};

/** Why there is none; false if there is. */
export function libseccompMissing(): string | false {
  if (!existsSync('/usr/include/seccomp.h')) return 'no <seccomp.h> here: install libseccomp-dev';
  return spawnSync('cc', ['--version']).status === 0 ? false : 'no C compiler here: install gcc';
}

/** The filter of each rule for its system call: ENOSYS where it is not allowed. Undefined for what libseccomp cannot say. */
export function libseccompFilters(rules: readonly (readonly [number, Rule])[]): (BpfInstruction[] | undefined)[] {
  const folder = mkdtempSync(join(tmpdir(), 'libseccomp-'));
  try {
    const source = join(folder, 'filters.c');
    writeFileSync(source, program(rules, folder));
    execFileSync('cc', ['-o', join(folder, 'filters'), source, '-lseccomp'], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const lines = execFileSync(join(folder, 'filters'), { encoding: 'utf8' }).trimEnd().split('\n');
    return lines.map((line) => (line === 'none' ? undefined : decode(Buffer.from(line, 'hex'))));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function program(rules: readonly (readonly [number, Rule])[], folder: string): string {
  const filters = rules.map(([syscall, { allowedIf }]) => {
    const adds = allowedIf.flatMap(alternatives).map((comparisons) => {
      const words = [comparisons.length, ...comparisons].join(', ');
      return `ok = ok && seccomp_rule_add_exact(ctx, SCMP_ACT_ALLOW, ${syscall}, ${words}) == 0;`;
    });
    return `{ scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(38)); int ok = 1; ${adds.join('\n')} print(ctx, ok); }`;
  });
  return `#include <errno.h>
    #include <fcntl.h>
    #include <seccomp.h>
    #include <stdio.h>
    #include <unistd.h>
    static void print(scmp_filter_ctx ctx, int ok) {
      unsigned char bytes[65536];
      int fd = open("${folder}/bpf", O_RDWR | O_CREAT | O_TRUNC, 0600);
      if (!ok || seccomp_export_bpf(ctx, fd) != 0) puts("none");
      else {
        int n = pread(fd, bytes, sizeof bytes, 0);
        for (int i = 0; i < n; i++) printf("%02x", bytes[i]);
        puts("");
      }
      close(fd);
      seccomp_release(ctx);
    }
    int main(void) { ${filters.join('\n')} return 0; }\n`;
}

/** The comparisons of rules that together say what the atoms do; "any of these bits" is one for each bit. */
function alternatives(atoms: readonly Atom[]): string[][] {
  let all: string[][] = [[]];
  for (const { argument, operator, value } of atoms) {
    const compare = (comparison: string, ...data: bigint[]) =>
      `SCMP_CMP64(${argument}, ${comparison}, ${data.map((datum) => `${BigInt.asUintN(64, datum)}ull`).join(', ')})`;
    const choices =
      operator === '&'
        ? bitsOf(value).map((bit) => compare('SCMP_CMP_MASKED_EQ', bit, bit))
        : [operator === 'in' ? compare('SCMP_CMP_MASKED_EQ', ~value, 0n) : compare(COMPARISONS[operator], value)];
    all = all.flatMap((comparisons) => choices.map((choice) => [...comparisons, choice]));
  }
  return all;
}

function bitsOf(value: bigint): bigint[] {
  return Array.from({ length: 64 }, (_, i) => 1n << BigInt(i)).filter((bit) => (value & bit) !== 0n);
}

/** struct sock_filter: u16 code, u8 jt, u8 jf, u32 k. */
function decode(bytes: Buffer): BpfInstruction[] {
  return Array.from({ length: bytes.length / INSTRUCTION_BYTES }, (_, i) => {
    const at = i * INSTRUCTION_BYTES;
    return { code: bytes.readUInt16LE(at), jt: bytes[at + 2]!, jf: bytes[at + 3]!, k: bytes.readUInt32LE(at + 4) };
  });
}
