// Runs other programs for the set-up tools.
import { spawn } from 'node:child_process';

/**
 * Runs a program, catching what it prints. Rejects with an Error that holds the end of its complaint.
 *
 * @param {string} program
 * @param {readonly string[]} args
 * @param {{ cwd?: string }} [options]
 * @returns {Promise<string>} Its standard output.
 */
export function output(program, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    let complaint = '';
    child.stdout.setEncoding('utf8').on('data', (/** @type {string} */ text) => (out += text));
    child.stderr.setEncoding('utf8').on('data', (/** @type {string} */ text) => (complaint += text));
    child.on('error', reject);
    child.on('close', (status) => {
      if (status === 0) resolve(out);
      else
        reject(new Error(`${program} ${args.join(' ')} failed: ${complaint.trim().slice(-600) || `status ${status}`}`));
    });
  });
}

/**
 * Runs a program in our place: with our standard streams, handing on the signals that ask us to end. Resolves with its
 * exit status (128 and the signal's number when a signal ended it, as shells do).
 *
 * @param {string} program
 * @param {readonly string[]} args
 * @param {{ cwd?: string }} [options]
 * @returns {Promise<number>}
 */
export function inOurPlace(program, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { ...options, stdio: 'inherit' });
    /** @type {NodeJS.Signals[]} */
    const signals = ['SIGTERM', 'SIGHUP', 'SIGINT'];
    // A terminal sends its Ctrl-C to the child itself; we only have to outlive it.
    const handOn = signals.map((signal) => () => signal !== 'SIGINT' && child.kill(signal));
    for (const [i, signal] of signals.entries()) process.on(signal, /** @type {() => void} */ (handOn[i]));
    child.on('error', reject);
    child.on('close', (status, signal) => {
      for (const [i, name] of signals.entries()) process.off(name, /** @type {() => void} */ (handOn[i]));
      resolve(status ?? 128 + (signal === null ? 0 : (SIGNAL_NUMBERS[signal] ?? 0)));
    });
  });
}

/** @type {Partial<Record<NodeJS.Signals, number>>} */
const SIGNAL_NUMBERS = { SIGHUP: 1, SIGINT: 2, SIGABRT: 6, SIGKILL: 9, SIGSEGV: 11, SIGTERM: 15 };
