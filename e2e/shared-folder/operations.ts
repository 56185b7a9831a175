/** The operations of operations.pl, which a guest does on a share as the host does them in a folder of its own. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const OPERATIONS = fileURLToPath(new URL('./operations.pl', import.meta.url));
const SEED = process.env['CROSVM_TEST_FOLDER_SEED'] ?? '1';

/** Who is not root has no files of others. */
export const MAY_CHOWN = process.geteuid!() === 0;

/** What follows the script's name: the folder, how many operations, and kinds of them to do without. */
export function operationWords(where: string, steps: number, leftOut: readonly string[] = []): string[] {
  return [where, SEED, String(steps), MAY_CHOWN ? '1' : '0', ...leftOut];
}

/** What the host's perl prints. */
export function operationsOnHost(...given: Parameters<typeof operationWords>): string {
  const words = [OPERATIONS, ...operationWords(...given)];
  return execFileSync('perl', words, { encoding: 'utf8', maxBuffer: 64 << 20 });
}

/** The first lines that are not the same. */
export function differences(guest: string, host: string): string[] {
  const [onShare, onHost] = [guest.split('\n'), host.split('\n')];
  const lines = onHost.map((line, i) => (line === onShare[i] ? '' : `${line} | on the share: ${onShare[i]}`));
  return [...lines.filter((line) => line !== '').slice(0, 10), ...onShare.slice(onHost.length)];
}
