import { readdirSync, readFileSync } from 'node:fs';

/** Processes of devices of VMs of this test, by what they call themselves. */
export function devicesNamed(name: string): number[] {
  const status = (pid: number) => {
    try {
      return readFileSync(`/proc/${pid}/status`, 'utf8');
    } catch {
      return ''; // it has just ended
    }
  };
  const isOurs = (pid: number): boolean => {
    const parent = Number(/^PPid:\t(\d+)$/m.exec(status(pid))?.[1] ?? 0);
    return parent === process.pid || (parent > 1 && isOurs(parent));
  };
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => status(pid).startsWith(`Name:\t${name}\n`) && isOurs(pid));
}
