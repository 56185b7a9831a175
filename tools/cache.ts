/** The folder in which tools keep what is expensive to fetch or to make. Deleting it is harmless. */
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { cacheFolder } from '../src/base/cache-folder.ts';

/**
 * The folder `name` in the cache. When it is not there, `fill` makes it in a folder of its own, which is then given the
 * name in one step: a run that is interrupted leaves nothing half done, and of several runs at once one wins.
 */
export async function cachedFolder(
  name: string,
  fill: (folder: string) => Promise<void>,
  root: string = cacheFolder(),
): Promise<string> {
  const folder = join(root, name);
  if (existsSync(folder)) return folder;
  mkdirSync(dirname(folder), { recursive: true });
  const temporary = mkdtempSync(join(dirname(folder), `.${basename(folder)}-`));
  try {
    await fill(temporary);
    renameUnlessTaken(temporary, folder);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
  return folder;
}

function renameUnlessTaken(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if (!existsSync(to)) throw error;
  }
}
