import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { platformUnpackers } from '../src/base/zlib.ts';
import { CrosvmError } from '../src/errors.ts';
import { parseBzImage } from '../src/loader/bzimage.ts';
import { unpackPayload } from '../src/loader/kernel.ts';
import { bytesSource, type KernelSource } from '../src/loader/kernel-source.ts';
import { cachedFolder } from './cache.ts';
import { step } from './progress.js';

/** The path of the uncompressed ELF kernel that a bzImage holds, unpacked once and kept in the cache. */
export async function vmlinuxOf(bzImage: string): Promise<string> {
  const name = basename(bzImage).replace(/^vmlinuz/, 'vmlinux');
  const folder = await cachedFolder(`guest/${name}`, (target) =>
    step(`Unpacking ${name}`, async () => {
      const vmlinux = unpackBzImage(bytesSource(bzImage, readFileSync(bzImage)));
      writeFileSync(join(target, name), vmlinux.readAt(0, vmlinux.size));
    }),
  );
  return join(folder, name);
}

/** Throws `E_KERNEL_FORMAT`, also for a kernel that is packed in a way that we do not know. */
export function unpackBzImage(source: KernelSource): KernelSource {
  const vmlinux = unpackPayload(source, parseBzImage(source), platformUnpackers);
  if (vmlinux !== undefined) return vmlinux;
  throw new CrosvmError('E_KERNEL_FORMAT', `${source.name} does not hold a vmlinux that can be unpacked`);
}
