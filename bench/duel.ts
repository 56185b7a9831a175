/** Two guests side by side, which take turns. */
import type { Comparison, Sample } from './comparison.ts';
import type { Contender, LinuxGuest } from './contenders.ts';
import { GuestSession, type Timed } from './guest-session.ts';
import { nativeOutputs } from './native.ts';
import type { WorkloadGroup } from './workloads.ts';

/** A guest, and the program that it runs on. */
export interface Side {
  readonly contender: Contender;
  readonly guest: LinuxGuest;
}

/** Throws if a guest fails, or computes something else than the processor of this machine. */
export async function compareWorkloads(
  group: WorkloadGroup,
  ours: Side,
  theirs: Side,
  pairs: number,
): Promise<Comparison[]> {
  const expected = await nativeOutputs(group);
  using our = await prepare(ours, group.setup);
  using their = await prepare(theirs, group.setup);
  const comparisons: Comparison[] = [];
  for (const [i, { name, command, extra }] of group.workloads.entries()) {
    const samples: { ours: Sample[]; theirs: Sample[] } = { ours: [], theirs: [] };
    for (let pair = 0; pair < pairs; pair++) {
      console.error(`${name}: ${pair + 1} of ${pairs}`);
      samples.ours.push(sample(our, await our.run(command), expected[i]!));
      samples.theirs.push(sample(their, await their.run(command), expected[i]!));
    }
    comparisons.push({ name, ...samples, extra: extra === true });
  }
  return comparisons;
}

async function prepare({ contender, guest }: Side, setup: readonly string[]): Promise<GuestSession> {
  console.error(`${contender.name}: boot`);
  const session = await GuestSession.boot(contender, guest);
  for (const command of setup) sample(session, await session.run(command), '');
  return session;
}

function sample(session: GuestSession, { seconds, cpuSeconds, output, status }: Timed, expected: string): Sample {
  if (status === 0 && output === expected) return { seconds, cpuSeconds };
  throw new Error(
    `${session.contender.name} gives status ${status} and ${JSON.stringify(output)}, not ${JSON.stringify(expected)}`,
  );
}
