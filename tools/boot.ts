/** Boots Debian's kernel to a shell: what `npm start` does once Node is new enough. */
import { join } from 'node:path';
import { isatty } from 'node:tty';
import { guestInitramfs } from './guest-initramfs.ts';
import { fetchKernel } from './guest-packages.ts';
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
