import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cachedFolder } from './cache.ts';
import type { Architecture } from './debian-archive.ts';
import { fetchBusybox } from './guest-packages.ts';
import { type GuestFile, type GuestJob, initramfs } from './initramfs.ts';

/** The path of an initramfs that does the job, made once for each job and its files and kept in the cache. */
export async function guestInitramfs(
  job: GuestJob,
  files: readonly GuestFile[] = [],
  architecture: Architecture = 'amd64',
): Promise<string> {
  const archive = initramfs(readFileSync(await fetchBusybox(architecture)), job, files);
  const digest = Buffer.from(await crypto.subtle.digest('SHA-256', archive)).toString('hex');
  const file = 'initramfs.cpio';
  const folder = await cachedFolder(`guest/initramfs-${digest.slice(0, 16)}`, async (target) =>
    writeFileSync(join(target, file), archive),
  );
  return join(folder, file);
}
