import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The folder that package.json is in, in a checkout as in the published package. */
export function packageFolder(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}
