/** Boots Debian's kernel to a shell: what `npm start` does once Node is new enough. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isatty } from 'node:tty';
import { cachedFolder } from './cache.ts';
import { fetchBusybox, fetchKernel } from './guest-packages.ts';
import { type GuestJob, initramfs } from './initramfs.ts';
import { projectFolder } from './setup.js';

const interactive = isatty(0);

try {
  const command = [process.execPath, join(projectFolder, 'bin', 'crosvm'), ...(await commandLine())];
  process.execve!(process.execPath, command, process.env);
} catch (error) {
  console.error(`npm start: ${error instanceof Error ? error.message : error}`);
  process.exit(1);
}

async function commandLine(): Promise<string[]> {
  const kernel = await fetchKernel();
  const initrd = await guestInitramfs({ kind: interactive ? 'shell' : 'console-commands' });
  const serial = 'type=stdout,hardware=serial,num=1,console,stdin';
  // The kernel's self-tests of its cryptography take longer than all the rest of the boot.
  const params = ['panic=-1', 'cryptomgr.notests', ...(interactive ? [] : ['quiet'])];
  const line = ['run', '--initrd', initrd, '--serial', serial, ...params.flatMap((p) => ['-p', p]), kernel];
  console.error(`bin/crosvm ${line.join(' ')}`);
  if (interactive) console.error('Ctrl-A x quits.');
  return line;
}

async function guestInitramfs(job: GuestJob): Promise<string> {
  const archive = initramfs(readFileSync(await fetchBusybox()), job);
  const digest = Buffer.from(await crypto.subtle.digest('SHA-256', archive)).toString('hex');
  const file = 'initramfs.cpio';
  const folder = await cachedFolder(`guest/initramfs-${digest.slice(0, 16)}`, async (target) =>
    writeFileSync(join(target, file), archive),
  );
  return join(folder, file);
}
