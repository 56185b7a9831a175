/** Runs `crosvm run` with a Linux guest and collects what comes of it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { commandStatus, GUEST_IS_UP } from '../tools/initramfs.ts';

export const CROSVM = fileURLToPath(new URL('../bin/crosvm', import.meta.url));

/** Many times what a boot takes on a quiet machine. */
export const BOOT_TIMEOUT_MS = 300_000;

export interface Finished {
  readonly status: number | null;
  /** Standard output, with the console's line ends made plain ones. */
  readonly console: string;
  readonly stderr: string;
}

/** Runs a program of ours on this Node to its end, with `input` as its standard input. */
export function finish(program: string, words: readonly string[], input = ''): Promise<Finished> {
  return finishProgram(process.execPath, [program, ...words], input);
}

/** Runs any program to its end, with `input` as its standard input. */
export function finishProgram(program: string, words: readonly string[], input = ''): Promise<Finished> {
  const child = spawn(program, words, { timeout: BOOT_TIMEOUT_MS });
  const text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (chunk: string) => (text[name] += chunk));
  }
  // A guest that fails early does not read its input.
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) =>
      resolve({ status, console: text.stdout.replaceAll('\r\n', '\n'), stderr: text.stderr }),
    );
  });
}

/** What one command of the job 'commands' printed, and its exit status. */
export interface CommandOutput {
  readonly output: string;
  readonly status: number;
}

/** The outputs of a guest's commands, by their order. Fails the test, and shows the console, if the guest did not come up. */
export function commandOutputs({ console, stderr }: Finished): CommandOutput[] {
  const up = console.indexOf(`${GUEST_IS_UP}\n`);
  assert.notEqual(up, -1, `the guest did not come up; its console ends with\n${console.slice(-3000)}\n${stderr}`);
  const text = console.slice(up + GUEST_IS_UP.length + 1);
  const marker = new RegExp(`^${commandStatus(0).slice(0, -1)}(\\d+)\\n`, 'm');
  const [first = '', ...rest] = text.split(marker);
  const outputs: CommandOutput[] = [];
  let output = first;
  for (let i = 0; i + 1 < rest.length; i += 2) {
    outputs.push({ output, status: Number(rest[i]) });
    output = rest[i + 1]!;
  }
  return outputs;
}
