/** What the software CPU has compiled in one run serves the next. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { wasmCode } from '../src/base/wasm-code.ts';
import { guestInitramfs } from '../tools/guest-initramfs.ts';
import { CLOUD_KERNEL_6_12, fetchKernel } from '../tools/guest-packages.ts';
import { GUEST_IS_UP } from '../tools/initramfs.ts';
import { BOOT_TIMEOUT_MS, CROSVM, finish } from './linux-guest.ts';

const skip = wasmCode() === undefined && 'this version of Node cannot save compiled WebAssembly';

const folder = mkdtempSync(join(tmpdir(), 'crosvm-kept-'));
after(() => rmSync(folder, { recursive: true }));
const socket = join(folder, 'socket');
const cache = join(folder, 'cache');

test('a second boot takes over what the first has compiled', { skip }, async () => {
  const first = await statisticsOfBoot();
  assert.equal(first.kept, 0);
  assert.ok(first.compiled > 100, `${first.compiled} regions`);
  assert.equal(readdirSync(cache).length, 2);
  const second = await statisticsOfBoot();
  assert.ok(second.kept > first.compiled / 2, `${second.kept} of ${first.compiled}`);
  assert.ok(second.compiled < first.compiled / 2, `${second.compiled} after ${first.compiled}`);
});

/** Boots a kernel, asks how many regions the JIT has compiled and taken over, and stops it. */
async function statisticsOfBoot(): Promise<{ compiled: number; kept: number }> {
  const kernel = await fetchKernel(CLOUD_KERNEL_6_12);
  const initrd = await guestInitramfs({ kind: 'commands', commands: ['sleep 1000'] });
  const words = ['run', '--hypervisor', 'soft', '--jit-cache', cache, '-s', socket, '--initrd', initrd, kernel];
  const vmm = spawn(process.execPath, [CROSVM, ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: BOOT_TIMEOUT_MS,
  });
  const ended = new Promise((resolve) => vmm.once('exit', resolve));
  await new Promise<void>((resolve, reject) => {
    let output = '';
    vmm.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk;
      if (output.includes(GUEST_IS_UP)) resolve();
    });
    ended.then(() => reject(new Error(`the guest did not come up; its console ends with\n${output.slice(-2000)}`)));
  });
  const { console: json } = await finish(CROSVM, ['stats', '--json', socket]);
  assert.equal((await finish(CROSVM, ['stop', socket])).status, 0);
  assert.equal(await ended, 0);
  return JSON.parse(json).vcpus[0].jit;
}
