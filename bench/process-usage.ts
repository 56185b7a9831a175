/** What a process and its descendants use, from /proc. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

const KIB = 1024;
const TICKS_PER_SECOND = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/** Places in /proc/PID/stat, counted behind the name of the program (proc_pid_stat(5)). */
const PARENT = 1;
const USER_TIME = 11;
const CHILDREN_SYSTEM_TIME = 14;

/** Memory that nobody else shares, in bytes. */
export interface PrivateMemory {
  /** In mappings whose name holds the text that was asked for. */
  readonly named: number;
  readonly other: number;
}

/**
 * User and system time of all threads, in seconds. Processes that have ended are in the time of the parents that have
 * waited for them.
 */
export function cpuSecondsOfTree(root: number): number {
  let ticks = 0;
  for (const pid of tree(root)) {
    const fields = statFields(pid) ?? [];
    for (let i = USER_TIME; i <= CHILDREN_SYSTEM_TIME; i++) ticks += Number(fields[i] ?? 0);
  }
  return ticks / TICKS_PER_SECOND;
}

/** Private memory of all processes of the tree, with that of mappings named `...name...` apart. */
export function privateMemoryOfTree(root: number, name: string): PrivateMemory {
  const total = { named: 0, other: 0 };
  for (const pid of tree(root)) {
    let key: keyof PrivateMemory = 'other';
    for (const line of (read(`/proc/${pid}/smaps`) ?? '').split('\n')) {
      // A mapping starts with its addresses; what follows are its numbers.
      if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) key = line.includes(name) ? 'named' : 'other';
      const kib = /^Private_(?:Clean|Dirty):\s+(\d+) kB/.exec(line)?.[1];
      total[key] += Number(kib ?? 0) * KIB;
    }
  }
  return total;
}

function tree(root: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    const parent = statFields(Number(name))?.[PARENT];
    if (parent !== undefined) parents.set(Number(name), Number(parent));
  }
  const found = [root];
  for (const pid of found) {
    for (const [child, parent] of parents) if (parent === pid) found.push(child);
  }
  return found;
}

/** The fields behind the program's name, which may itself hold spaces and parentheses. */
function statFields(pid: number): string[] | undefined {
  const stat = read(`/proc/${pid}/stat`);
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // the process has ended
  }
}
