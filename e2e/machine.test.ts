/** What firmware sees of the machine, on every hypervisor: PCI enumeration by configuration ports, and the clock. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { canOpen } from '../src/base/cpu-info.ts';
import { assemble, assemblerMissing } from './bare-metal/assemble.ts';

const CROSVM = fileURLToPath(new URL('../bin/crosvm', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'crosvm-machine-'));
after(() => rmSync(folder, { recursive: true }));

/** 64 KiB that end at the reset vector's segment. Prints one line for each PCI device of bus 0, then century and year. */
const FIRMWARE = `
.code16
start:
  xor %esi, %esi
next_slot:
  mov %esi, %eax
  shl $11, %eax
  or $0x80000000, %eax
  mov $0xcf8, %dx
  out %eax, %dx
  mov $0xcfc, %dx
  in %dx, %eax
  cmp $0xffff, %ax
  je absent
  call print_hex
absent:
  inc %esi
  cmp $32, %esi
  jb next_slot
wait_for_clock:
  mov $0x0a, %al
  call read_cmos
  test $0x80, %al
  jnz wait_for_clock
  mov $0x32, %al
  call read_cmos
  mov %al, %bh
  mov $0x09, %al
  call read_cmos
  mov %bh, %ah
  movzx %ax, %eax
  call print_hex
  mov $0xcf9, %dx
  mov $6, %al
  out %al, %dx
  hlt
read_cmos:
  out %al, $0x70
  in $0x71, %al
  ret
print_hex:
  mov %eax, %ebx
  mov $8, %cx
  mov $0x3f8, %dx
digit:
  rol $4, %ebx
  mov %bl, %al
  and $15, %al
  add $'0', %al
  cmp $'9', %al
  jbe put
  add $('a' - '0' - 10), %al
put:
  out %al, %dx
  loop digit
  mov $'\\n', %al
  out %al, %dx
  ret
.org 0xfff0
  jmp start
.org 0x10000
`;

for (const hypervisor of ['soft', 'kvm']) {
  const skip = assemblerMissing() || (hypervisor === 'kvm' && !canOpen('/dev/kvm') && 'no /dev/kvm opens here');
  test(`${hypervisor}: firmware finds the PCI devices and the date`, { skip }, () => {
    // The stack that CALL needs is memory below 1 MiB: SS is 0 and SP 0 after reset, so it wraps to the end of 64 KiB.
    const path = join(folder, hypervisor);
    writeFileSync(path, assemble(FIRMWARE));
    const { stdout, status } = spawnSync(
      process.execPath,
      [CROSVM, 'run', '--hypervisor', hypervisor, '--bios', path],
      {
        encoding: 'utf8',
        input: '',
        timeout: 60_000,
      },
    );
    const lines = stdout.trim().split('\n');
    assert.ok(lines.includes('12378086'), `the host bridge is missing in ${stdout}`);
    assert.ok(lines.includes('00111b36'), `pvpanic is missing in ${stdout}`);
    assert.equal(lines.at(-1), `0000${new Date().getUTCFullYear()}`);
    assert.equal(status, 0);
  });
}
