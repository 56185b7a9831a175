/** The software CPU beside QEMU: a program of a few instructions, and the start of Debian's kernel where it is cached. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { cacheFolder } from '../src/base/cache-folder.ts';
import { openKernelFile } from '../src/base/kernel-file.ts';
import { bytesSource, type KernelSource } from '../src/loader/kernel-source.ts';
import { type Divergence, Lockstep, type LockstepOptions } from '../tools/lockstep/lockstep.ts';
import { hasQemu, QEMU } from '../tools/lockstep/qemu.ts';
import { elfKernel } from './elf-kernel.ts';

const COUNT = 300;
/** Counts RCX down; each round pushes, multiplies, divides, shifts, stores with a repeat, reads a port and the clock. */
const PROGRAM = elfKernel(
  [0xb9, COUNT & 0xff, COUNT >> 8, 0, 0], // mov ecx, COUNT
  [0x51], // again: push rcx
  [0x48, 0x0f, 0xaf, 0xd9], // imul rbx, rcx
  [0x48, 0x8d, 0x5c, 0x4b, 0x07], // lea rbx, [rbx + rcx * 2 + 7]
  [0x48, 0xd1, 0xdb], // rcr rbx, 1
  [0x31, 0xd2, 0x48, 0x89, 0xd8, 0x48, 0xf7, 0xf1], // xor edx, edx; mov rax, rbx; div rcx
  [0xbf, 0x00, 0x00, 0x50, 0x00, 0xb9, 0x09, 0, 0, 0, 0xf3, 0x48, 0xab], // mov edi, 5 MiB; mov ecx, 9; rep stosq
  [0x0f, 0x31, 0x48, 0x0f, 0xc7, 0xf0, 0x9c, 0x5e, 0xe4, 0x80], // rdtsc; rdrand rax; pushf; pop rsi; in al, 0x80
  [0x0f, 0x20, 0xe0, 0x0d, 0x00, 0x02, 0x00, 0x00, 0x0f, 0x22, 0xe0], // mov rax, cr4; or eax, 0x200; mov cr4, rax
  [0x66, 0x48, 0x0f, 0x6e, 0xc3, 0x66, 0x0f, 0xfe, 0xc8], // movq xmm0, rbx; paddd xmm1, xmm0
  [0x59, 0xff, 0xc9, 0x75, 0xb9], // pop rcx; dec ecx; jnz again
);

const skip = hasQemu() ? false : `there is no ${QEMU} here`;

describe('lockstep with QEMU', { skip }, () => {
  test('a small program agrees, instruction by instruction', async () => {
    assert.equal(
      await firstDivergence(bytesSource('program', PROGRAM), 2000, { vectors: true, memoryEvery: 500 }),
      undefined,
    );
  });

  test('a small program agrees where QEMU runs on to places to meet', async () => {
    const options = { vectors: true, memoryEvery: 500, stride: 50 };
    assert.equal(await firstDivergence(bytesSource('program', PROGRAM), 4000, options), undefined);
  });

  for (const stride of [1, 50]) {
    test(`a difference is found (stride ${stride})`, async () => {
      using lockstep = await Lockstep.start(guest(bytesSource('program', PROGRAM)), { stride });
      assert.equal(run(lockstep, 100), undefined);
      const { state } = lockstep.software.vcpu;
      state.setReg(5, state.reg(5) ^ 0x40n);
      const found = run(lockstep, 300);
      assert.match(found?.differences.join() ?? '', /^rbp: ours 0x[0-9a-f]+, QEMU 0x[0-9a-f]+$/);
      assert.ok(found!.first <= 101 && found!.step < 300);
    });
  }

  for (const kernel of cachedKernels()) {
    test(`${kernel.name} starts alike`, async () => {
      using file = openKernelFile(kernel.path);
      assert.equal(await firstDivergence(file, 60_000, { vectors: true, memoryEvery: 30_000, stride: 500 }), undefined);
    });
  }
});

function guest(kernel: KernelSource) {
  return { boot: { kind: 'kernel', kernel }, commandLine: 'console=ttyS0', memory: 128 } as const;
}

async function firstDivergence(kernel: KernelSource, steps: number, options: LockstepOptions) {
  using lockstep = await Lockstep.start(guest(kernel), options);
  return run(lockstep, steps);
}

function run(lockstep: Lockstep, steps: number): Divergence | undefined {
  while (lockstep.steps < steps) {
    const divergence = lockstep.step();
    if (divergence !== undefined) return divergence;
  }
  return undefined;
}

/** Uncompressed kernels that other tests have unpacked. */
function cachedKernels(): { readonly name: string; readonly path: string }[] {
  const folder = join(cacheFolder(), 'guest');
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder).filter((name) => name.startsWith('vmlinux-'));
  return names.map((name) => ({ name, path: join(folder, name, name) })).filter(({ path }) => existsSync(path));
}
