/** Starts a program and measures it at the moment when it has printed something. */
import { spawn } from 'node:child_process';
import { cpuSecondsOfTree, type PrivateMemory, privateMemoryOfTree } from './process-usage.ts';

export interface Measured extends PrivateMemory {
  /** Of all threads of the process and its descendants, until then. */
  readonly cpuSeconds: number;
  /** From the start of the process to the text. */
  readonly seconds: number;
}

const TIMEOUT_MS = 300_000;

/** Waits until standard output holds `text`, measures, and kills the program. `ram` is in the name of the guest's memory. */
export function untilPrinted(program: string, words: readonly string[], text: string, ram: string): Promise<Measured> {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    const child = spawn(program, words, {
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: TIMEOUT_MS,
      killSignal: 'SIGKILL',
    });
    let printed = '';
    let complaint = '';
    let result: Measured | undefined;
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      complaint += chunk;
    });
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      printed += chunk;
      if (result !== undefined || !printed.includes(text)) return;
      const seconds = (performance.now() - start) / 1000;
      result = { seconds, cpuSeconds: cpuSecondsOfTree(child.pid!), ...privateMemoryOfTree(child.pid!, ram) };
      child.kill('SIGKILL');
    });
    child.once('error', reject);
    child.once('close', () => {
      if (result !== undefined) resolve(result);
      else reject(new Error(`${program} ended without ${JSON.stringify(text)}: ${complaint}${printed.slice(-1000)}`));
    });
  });
}
