/** Boots of our own program and of another one, in turns, so that both see the same disturbances. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GUEST_IS_UP } from '../tools/initramfs.ts';
import type { Comparison } from './comparison.ts';
import type { Contender, LinuxGuest } from './contenders.ts';
import { type Measured, untilPrinted } from './watch.ts';

export interface BootComparison extends Comparison {
  readonly ours: readonly Measured[];
  readonly theirs: readonly Measured[];
}

/** Boots after which what they have compiled changes little. */
const BOOTS_BEFORE = 3;

/**
 * From the start of the process to /init. With `history` our program has booted this guest a few times before, as it has for
 * whoever works with one, and kept what it compiled; without it is the first boot ever.
 */
export async function compareBoots(
  name: string,
  guest: LinuxGuest,
  [own, other]: readonly [Contender, Contender],
  pairs: number,
  history: boolean,
): Promise<BootComparison> {
  using cache = new DisposableStack();
  const ours = { ...guest, jitCache: history ? cache.adopt(newFolder(), removeFolder) : 'off' };
  if (history) for (let i = 0; i < BOOTS_BEFORE; i++) bootToTheEnd(own, ours);
  const boot = (contender: Contender, linux: LinuxGuest) =>
    untilPrinted(contender.program, contender.linux(linux), GUEST_IS_UP, contender.ram);
  const samples: { ours: Measured[]; theirs: Measured[] } = { ours: [], theirs: [] };
  for (let pair = 0; pair < pairs; pair++) {
    console.error(`${name}: ${pair + 1} of ${pairs}`);
    samples.ours.push(await boot(own, ours));
    samples.theirs.push(await boot(other, guest));
  }
  return { name, ...samples };
}

/** What is compiled is kept when the guest powers off, which it does when its console has no more input. */
function bootToTheEnd(own: Contender, guest: LinuxGuest): void {
  const { status, stderr } = spawnSync(own.program, own.linux(guest), { input: 'poweroff -f\n' });
  if (status !== 0) throw new Error(`a boot ended with status ${status}: ${stderr}`);
}

const newFolder = () => mkdtempSync(join(tmpdir(), 'crosvm-boot-'));
const removeFolder = (folder: string) => rmSync(folder, { recursive: true });
