// Runs other programs for the set-up tools.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';

/**
 * Runs a program, catching what it prints. Rejects with an Error that holds the start of its complaint.
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
        reject(
          new Error(`${program} ${args.join(' ')} failed: ${complaint.trim().slice(0, 600) || `status ${status}`}`),
        );
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
    /** @type {NodeJS.Signals[]} */
    const signals = ['SIGTERM', 'SIGHUP', 'SIGINT'];
    /** @type {import('node:child_process').ChildProcess | undefined} */
    let child;
    /** @param {NodeJS.Signals} signal */
    const handOn = (signal) => child?.kill(signal);
    // Before the child is there, so that no signal can end us and leave it behind.
    for (const signal of signals) process.on(signal, handOn);
    const finish = () => {
      for (const signal of signals) process.off(signal, handOn);
    };
    child = spawn(program, args, { ...options, stdio: 'inherit' });
    child.on('error', (error) => {
      finish();
      reject(error);
    });
    child.on('close', (status, signal) => {
      finish();
      resolve(status ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}
