/** Shared memory of a virtio device, from the guest's BAR to the file of a back end in another process. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { assemble, assemblerMissing } from './bare-metal/assemble.ts';
import { emulatorLacks, kvmMissing } from './bare-metal/kvm-target.ts';
import { CROSVM, type Finished, finish } from './linux-guest.ts';
import { until } from './until.ts';

const BACK_END = fileURLToPath(new URL('./shared-memory/back-end.ts', import.meta.url));
const PAGE = 4096;
const folder = mkdtempSync(join(tmpdir(), 'crosvm-shared-'));
after(() => rmSync(folder, { recursive: true }));

/** A ROM that moves BAR 2 of the device in slot 5 to 0xe0000000, does what the text says, and resets. */
const rom = (text: string) => `
.code16
  lgdtl %cs:(0xf000 + gdtr - start)
  movl %cr0, %eax
  orb $1, %al
  movl %eax, %cr0
  ljmpl $8, $(0xfffff000 + flat - start)
gdtr: .word 23
  .long 0xfffff000 + gdt - start
.align 8
gdt: .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
.code32
.macro select register
  movl $(0x80000000 + (5 << 11) + \\register), %eax
  movw $0xcf8, %dx
  outl %eax, %dx
  movw $0xcfc, %dx
.endm
.macro configure register value
  select \\register
  movl $\\value, %eax
  outl %eax, %dx
.endm
.macro page number
  movb $\\number, 0x2000(%ebx)
  movl 0xe0001000, %eax
  cmpl $-1, %eax
  jne 1f
  movb $'-', %al
  1: movw $0x3f8, %dx
  outb %al, %dx
.endm
flat: movw $16, %ax
  movw %ax, %ds
  configure 4, 0
  configure 0x18, 0xe0000000
  configure 0x1c, 0
  configure 4, 2
  select 0x10
  inl %dx, %eax
  movl %eax, %ebx
  ${text}
  movb $0xfe, %al
  outb %al, $0x64
  hlt
.org 0xff0
.code16
  jmp start
.org 0xfff
  nop
`;

/** Asks for pages by the device's configuration, and prints the first byte of each, or `-` where nothing is. */
const PAGES = `
  page 0
  page 1
  page 2
  movb $'x', 0xe0001800
  page 3
  page 0
  page 0x82
  # Elsewhere, with what is mapped.
  configure 4, 0
  configure 0x18, 0xe0200000
  configure 4, 2
  movb 0xe0201000, %al
  movw $0x3f8, %dx
  outb %al, %dx
`;

/** Makes the file empty while a page of it is mapped, and touches that. */
const CUT = `
  page 1
  movb $0xff, 0x2000(%ebx)
  movl 0xe0001000, %eax
1: jmp 1b
`;

/** Has the back end go away while a page is mapped, waits until the device says that it is lost, and reads the page for a while. */
const LOST = `
  page 1
  movb $0xfe, 0x2000(%ebx)
1: testb $0x40, 0x14(%ebx)
  jz 1b
  movl $500000, %ecx
2: movb 0xe0001000, %al
  cmpb $'A', %al
  loope 2b
  movw $0x3f8, %dx
  outb %al, %dx
`;

/** Runs a ROM on a hypervisor, with a back end whose file has four pages; and what is in the file then. */
async function runRom(hypervisor: string, text: string): Promise<{ finished: Finished; written: Buffer }> {
  const place = mkdtempSync(join(folder, 'run-'));
  const [bios, file, socket] = [join(place, 'rom'), join(place, 'file'), join(place, 'socket')];
  writeFileSync(bios, assemble(rom(text)));
  const content = new Uint8Array(4 * PAGE);
  for (const [page, letter] of [...'ZABC'].entries()) content[page * PAGE] = letter.charCodeAt(0);
  writeFileSync(file, content);
  const backEnd = spawn(process.execPath, [BACK_END, socket, file], { stdio: 'inherit' });
  const ended = new Promise((resolve) => backEnd.once('exit', resolve));
  try {
    await until(() => existsSync(socket), 'the back end listens');
    const device = `type=gpu,socket=${socket},pci-address=00:05.0`;
    const words = ['--hypervisor', hypervisor, '-m', '16', '--no-rng', '--no-balloon', '--vhost-user', device];
    const finished = await finish(CROSVM, ['run', ...words, '--bios', bios]);
    return { finished, written: readFileSync(file) };
  } finally {
    backEnd.kill();
    await ended;
  }
}

for (const hypervisor of ['soft', 'kvm']) {
  const skip = assemblerMissing() || ((hypervisor === 'kvm' && kvmMissing()) ?? false);
  test(`pieces of a file come and go in a BAR: ${hypervisor}`, { skip }, async () => {
    const { finished, written } = await runRom(hypervisor, PAGES);
    assert.deepEqual(finished, { console: '-ABC-BB', stderr: '', status: 0 });
    assert.equal(String.fromCharCode(written[2 * PAGE + 0x800]!), 'x');
  });

  test(`what is mapped stays when the back end goes, until the driver resets the device: ${hypervisor}`, {
    skip,
  }, async () => {
    const { finished } = await runRom(hypervisor, LOST);
    assert.equal(finished.console, 'AA');
    assert.match(finished.stderr, /needs a reset by the guest: .*the back end has ended the connection.*\n$/);
  });

  const cannotFail = hypervisor === 'kvm' && emulatorLacks['lost-pages'];
  const name = `a file that becomes shorter while it is mapped ends the VM with one line: ${hypervisor}`;
  test(name, { skip: skip || cannotFail || false }, async () => {
    const { finished } = await runRom(hypervisor, CUT);
    assert.equal(finished.console, 'A');
    assert.match(
      finished.stderr,
      /^crosvm: run: .* became shorter.*\n$|^crosvm: run: vCPU 0 cannot .* has become shorter.*\n$/,
    );
    assert.equal(finished.status, 1);
  });
}
