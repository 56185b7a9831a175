import { homedir } from 'node:os';
import { join } from 'node:path';

/** `crosvm` in the user's cache folder (XDG Base Directory Specification): for what can be made again. */
export function cacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  const base = environment['XDG_CACHE_HOME'];
  // The specification says that relative paths are to be ignored.
  return join(base?.startsWith('/') ? base : join(homedir(), '.cache'), 'crosvm');
}
