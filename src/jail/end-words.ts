/** How the end of a device process is told. */
import type { ProcessEnd } from '../base/process.ts';
import { signalName } from '../base/signal.ts';
import { syscallName } from './policy/syscalls.ts';

export function endWords(end: ProcessEnd): string {
  return 'exitStatus' in end ? `exit status ${end.exitStatus}` : `killed by ${signalName(end.signal)}`;
}

/** `number` is that of a system call that its policy refused. */
export function refusedWords(number: number): string {
  return `killed for the system call ${syscallName(number)}`;
}
