/**
 * Filters its own system calls with the program in base64 that is its first argument, makes the calls that are the
 * second (JSON: for each its number and arguments, as decimal strings), and prints the errno of each, 0 for success.
 */
import { errno } from '../../base/ffi.ts';
import { filterSystemCalls, setNoNewPrivileges } from '../../base/seccomp.ts';
import { systemCall } from '../../base/system-call.ts';

const [program, json] = process.argv.slice(2);
const calls = JSON.parse(json!) as string[][];
setNoNewPrivileges();
filterSystemCalls(Buffer.from(program!, 'base64'));
const errnos = calls.map((words) => {
  // koffi takes whole 64-bit numbers as BigInt, too.
  const call = words.map((word) => BigInt.asIntN(64, BigInt(word))) as unknown as Parameters<typeof systemCall>;
  return systemCall(...call) === -1 ? errno() : 0;
});
console.log(JSON.stringify(errnos));
