import assert from 'node:assert/strict';
import { ftruncateSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EventFd } from '../../../src/base/event-fd.ts';
import { close, O_RDWR, open, pread, pwrite } from '../../../src/base/fd.ts';
import { createMemfd } from '../../../src/base/memfd.ts';
import type { BareMetalHarness, Guest } from '../harness.ts';
import { registersAtOrigin, systemRegistersFor } from '../machine-state.ts';
import type { BareMetalCase } from './case.ts';

const PAGE = 4096;
const WINDOW = 0x1000_0000;
const SIZE = 0x20_0000;
/** mov $value, %eax; ret */
const returning = (value: number) => Uint8Array.of(0xb8, value, 0, 0, 0, 0xc3);

/** A file of whole pages, each of which begins with bytes of its own. */
function fileOf(...pages: readonly Uint8Array[]): { fd: number; [Symbol.dispose](): void } {
  const fd = createMemfd('bare-metal', pages.length * PAGE);
  pages.forEach((bytes, i) => {
    pwrite(fd, bytes, i * PAGE);
  });
  return { fd, [Symbol.dispose]: () => close(fd) };
}

function readByte(fd: number, offset: number): number {
  const bytes = new Uint8Array(1);
  pread(fd, bytes, offset);
  return bytes[0]!;
}

function start(harness: BareMetalHarness, source: string, address?: number): Promise<Guest> {
  const windows = [{ size: SIZE, maxPieces: 4, ...(address !== undefined && { address }) }];
  return harness.start({ mode: 'protected', source: `.code32\n${source}`, windows });
}

export const mappedFileCases: readonly BareMetalCase[] = [
  {
    name: 'a mapped file can be read, written and run',
    async run(harness) {
      using file = fileOf(Uint8Array.of(1, 2, 3, 4), returning(7));
      const source = `
        movl $${WINDOW}, %ebx
        show (%ebx)
        lea 0x1000(%ebx), %ecx
        call *%ecx
        outb %al, $0x80
        movb $8, 0x1001(%ebx)
        call *%ecx
        outb %al, $0x80
        lock incl (%ebx)
        movw $0x5566, 0xfff(%ebx)
        exit 1`;
      await using guest = await start(harness, source, WINDOW);
      guest.vm.windows[0]!.map({ offset: 0, length: 2 * PAGE, writable: true, fd: file.fd, fdOffset: 0 });
      const { accesses } = await guest.finish();
      assert.deepEqual(accesses, ['port write 80.4 04030201', 'port write 80.1 07', 'port write 80.1 08']);
      assert.deepEqual([readByte(file.fd, 0), readByte(file.fd, PAGE - 1), readByte(file.fd, PAGE)], [2, 0x66, 0x55]);
      assert.equal(readByte(file.fd, PAGE + 1), 8);
    },
  },
  {
    name: 'stores to a file that is mapped read-only go to the MMIO bus, and so does all where nothing is mapped',
    async run(harness) {
      using file = fileOf(Uint8Array.of(9), returning(5));
      const source = `
        movl $${WINDOW}, %ebx
        movb $1, (%ebx)
        movb (%ebx), %al
        outb %al, $0x80
        lea 0x1000(%ebx), %ecx
        call *%ecx
        outb %al, $0x80
        movl $2, 0x2000(%ebx)
        movb 0x3000(%ebx), %al
        exit 1`;
      await using guest = await start(harness, source, WINDOW);
      guest.vm.windows[0]!.map({ offset: 0, length: 2 * PAGE, writable: false, fd: file.fd, fdOffset: 0 });
      assert.deepEqual((await guest.finish()).accesses, [
        'mmio write 10000000.1 01',
        'port write 80.1 09',
        'port write 80.1 05',
        'mmio write 10002000.4 00000002',
        'mmio read 10003000.1',
      ]);
      assert.equal(readByte(file.fd, 0), 9);
    },
  },
  {
    name: 'another piece of a file takes the place of one while the guest runs',
    async run(harness) {
      using file = fileOf(...Array.from({ length: 40 }, (_, i) => Uint8Array.of(i + 1)));
      const source = `
        movl $${WINDOW}, %ebx
        1: movl (%ebx), %eax
        movl %eax, 0x7000
        cmpl $40, %eax
        jne 1b
        movb %al, 0x800(%ebx)
        exit 1`;
      await using guest = await start(harness, source, WINDOW);
      const window = guest.vm.windows[0]!;
      const show = (page: number) =>
        window.map({ offset: 0, length: PAGE, writable: true, fd: file.fd, fdOffset: page * PAGE });
      show(0);
      const run = guest.finish();
      for (let page = 1; page < 40; page++) {
        window.unmap(0, PAGE);
        show(page);
        for (let i = 0; guest.vm.memory.getU32(0x7000) !== page + 1; i++) {
          assert.ok(i < 10_000, `the guest does not see page ${page}`);
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
      }
      assert.equal((await run).code, 1);
      assert.equal(readByte(file.fd, 39 * PAGE + 0x800), 40);
      assert.equal(readByte(file.fd, 38 * PAGE + 0x800), 0);
    },
  },
  {
    name: 'a piece that takes the place of another is seen at once, and nothing in between',
    async run(harness) {
      using file = fileOf(...Array.from({ length: 40 }, (_, i) => Uint8Array.of(i + 1)));
      const source = `
        movl $${WINDOW}, %ebx
        1: movl (%ebx), %eax
        movl %eax, 0x7000
        cmpl $40, %eax
        jne 1b
        movb %al, 0x800(%ebx)
        exit 1`;
      await using guest = await start(harness, source);
      const window = guest.vm.windows[0]!;
      window.moveTo(WINDOW);
      const show = (page: number) =>
        window.map({ offset: 0, length: PAGE, writable: page % 2 === 1, fd: file.fd, fdOffset: page * PAGE });
      show(0);
      const run = guest.finish();
      for (let page = 1; page < 40; page++) {
        show(page);
        for (let i = 0; guest.vm.memory.getU32(0x7000) !== page + 1; i++) {
          assert.ok(i < 10_000, `the guest does not see page ${page}`);
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
      }
      // No access has come to the MMIO bus.
      assert.deepEqual(await run, { code: 1, accesses: [] });
      assert.equal(readByte(file.fd, 39 * PAGE + 0x800), 40);
    },
  },
  {
    name: 'code of a piece that was taken away is not run any more',
    async run(harness) {
      using file = fileOf(returning(1), returning(2), returning(3));
      const source = `
        1: movl $${WINDOW}, %ebx
        call *%ebx
        outb %al, $EXIT
        jmp 1b`;
      await using guest = await start(harness, source, WINDOW);
      const window = guest.vm.windows[0]!;
      for (const page of [0, 1, 2, 0]) {
        window.map({ offset: 0, length: PAGE, writable: true, fd: file.fd, fdOffset: page * PAGE });
        for (let i = 0; i < 3; i++) assert.equal((await guest.finish()).code, page + 1);
        window.unmap(0, PAGE);
      }
    },
  },
  {
    name: 'pieces come and go, and the window moves, under two vCPUs that access it all the time',
    needs: ['smp'],
    async run(harness) {
      using file = fileOf(...Array.from({ length: 8 }, () => new Uint8Array(PAGE)));
      const windows = [{ size: SIZE, maxPieces: 4 }];
      // Words, bytes across the edge of pages, and locked instructions; what they find there does not matter.
      const source = `.code32
        movl $${WINDOW}, %ebx
        1: incl 0x10(%ebx)
        lock incl 0x1010(%ebx)
        leal 0xff8(%ebx), %edi
        movl $16, %ecx
        rep stosb
        movl 0x1ffe(%ebx), %eax
        movb %al, ${SIZE}(%ebx)
        lock incl 0x7000
        cmpl $0, 0x7004
        je 1b
        exit 5`;
      await using guest = await harness.start({ mode: 'protected', source, cpus: 2, windows });
      const [first, second] = guest.vcpus;
      await second!.setSystemRegisters(systemRegistersFor('protected', await second!.getSystemRegisters()));
      await second!.setRegisters(registersAtOrigin());
      await second!.setMpState('runnable');
      assert.equal(await first!.getMpState(), 'runnable');
      const runs = [guest.run({ id: 0 }), guest.run({ id: 1 })];
      const window = guest.vm.windows[0]!;
      for (let round = 0; round < 60; round++) {
        const page = round % 3;
        const piece = { offset: page * PAGE, length: (1 + (round % 2)) * PAGE, writable: true };
        window.map({ ...piece, fd: file.fd, fdOffset: (round % 7) * PAGE });
        window.moveTo([WINDOW, WINDOW + SIZE, undefined][round % 3]);
        await new Promise((resolve) => setTimeout(resolve, 2));
        if (round % 4 === 0) window.clear();
        else window.unmap(piece.offset, piece.length);
      }
      assert.ok(guest.vm.memory.getU32(0x7000) > 100);
      guest.vm.memory.setU32(0x7004, 1);
      for (const { code, timedOut } of await Promise.all(runs)) assert.deepEqual([code, timedOut], [5, false]);
    },
  },
  {
    name: 'a file that becomes shorter ends the guest that touches what is gone, and nothing else',
    needs: ['lost-pages'],
    async run(harness) {
      const folder = mkdtempSync(join(tmpdir(), 'bare-metal-'));
      const path = join(folder, 'file');
      writeFileSync(path, new Uint8Array(2 * PAGE).fill(9));
      const fd = open(path, O_RDWR);
      const source = `
        movl $${WINDOW}, %ebx
        movb 0x1000(%ebx), %al
        outb %al, $EXIT
        movb (%ebx), %al
        outb %al, $EXIT
        movb 0x1000(%ebx), %al
        outb %al, $EXIT`;
      await using guest = await start(harness, source, WINDOW);
      const { windows, windowFaults } = guest.vm;
      windows[0]!.map({ offset: 0, length: 2 * PAGE, writable: true, fd, fdOffset: 0 });
      assert.equal((await guest.finish()).code, 9);
      ftruncateSync(fd, PAGE);
      assert.equal((await guest.finish()).code, 9);
      const { exit, code } = await guest.run();
      const [fault] = windowFaults;
      if (fault === undefined) assert.equal(exit.reason, 'error');
      else assert.deepEqual([code, new EventFd(fault).clear()], [0, 1]);
      close(fd);
      rmSync(folder, { recursive: true });
    },
  },
  {
    name: 'a window takes its pieces along when it moves',
    async run(harness) {
      using file = fileOf(returning(1), returning(2));
      const source = `
        1: movl 0x7000, %ebx
        call *%ebx
        outb %al, $EXIT
        jmp 1b`;
      await using guest = await start(harness, source);
      const { windows, memory } = guest.vm;
      const window = windows[0]!;
      const codeAt = async (gpa: number) => {
        memory.setU32(0x7000, gpa);
        return (await guest.finish()).code;
      };
      window.map({ offset: 0, length: PAGE, writable: true, fd: file.fd, fdOffset: 0 });
      window.moveTo(WINDOW);
      window.map({ offset: 2 * PAGE, length: PAGE, writable: true, fd: file.fd, fdOffset: PAGE });
      assert.deepEqual([await codeAt(WINDOW), await codeAt(WINDOW + 2 * PAGE)], [1, 2]);
      window.moveTo(WINDOW + 2 * SIZE);
      assert.equal(window.address, WINDOW + 2 * SIZE);
      assert.deepEqual([await codeAt(WINDOW + 2 * SIZE), await codeAt(WINDOW + 2 * SIZE + 2 * PAGE)], [1, 2]);
      // To where other code was a moment ago.
      window.moveTo(undefined);
      window.clear();
      window.map({ offset: 0, length: PAGE, writable: true, fd: file.fd, fdOffset: PAGE });
      window.moveTo(WINDOW);
      assert.equal(await codeAt(WINDOW), 2);
      // Over RAM it is nowhere.
      window.moveTo(0);
      assert.equal(window.address, undefined);
    },
  },
];
