import { readFileSync } from 'node:fs';

const RANGE = '/proc/sys/net/ipv4/ping_group_range';
/** As whom passt goes on that root has started. */
const NOBODY = 65534;

/** Whether passt and others without privileges may send pings for a guest (icmp(7), ping_group_range). */
export function mayPing(): boolean {
  const [first = 1, last = 0] = readRange().trim().split(/\s+/).map(Number);
  const groups = process.getuid?.() === 0 ? [0, NOBODY] : [process.getgid!()];
  return groups.every((group) => first <= group && group <= last);
}

function readRange(): string {
  try {
    return readFileSync(RANGE, 'utf8');
  } catch {
    return ''; // a host that shows it to nobody
  }
}
