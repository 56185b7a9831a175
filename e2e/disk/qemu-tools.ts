/** qemu-img and qemu-io, the other opinion on disk images. */
import { spawnSync } from 'node:child_process';

/** Why they cannot be used here; false if they can. */
export function qemuToolsMissing(): string | false {
  const { status } = spawnSync('qemu-img', ['--version']);
  return status === 0 ? false : 'qemu-img and qemu-io are missing (Debian: qemu-utils)';
}

/** Runs qemu-img in `folder`; throws with what it says if it fails. */
export function qemuImg(folder: string, ...words: string[]): string {
  return run('qemu-img', folder, words);
}

/** Runs commands of qemu-io on the image `file` (a path, or options), in one session. */
export function qemuIo(folder: string, file: string, commands: readonly string[]): string {
  return run('qemu-io', folder, ['-d', 'unmap', file, ...commands.flatMap((command) => ['-c', command])]);
}

function run(program: string, folder: string, words: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(program, words, { cwd: folder, encoding: 'utf8' });
  if (status === 0) return stdout;
  throw new Error(`${program} ${words.join(' ')} ended with ${status}: ${stdout}${stderr}`);
}
