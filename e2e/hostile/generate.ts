/** Hostile programs from seeds. */
import { STACK_TOP } from '../bare-metal/machine-state.ts';
import { Random } from '../differential/random.ts';
import { ATTACKS } from './attacks.ts';
import { CODE, CODE_SIZE, DATA, DATA_SIZE, garbageDescriptors, MODES, type Program } from './program.ts';
import { Writer } from './writer.ts';

const NAMES = Object.keys(ATTACKS);
const RSP = 4;
const MOST_ENTRIES = 12;

/** The program of a seed: entry points with a few attacks each, most of one kind. `only`: of these kinds. */
export function programOf(seed: number, only: readonly string[] = NAMES): Program {
  const random = new Random(seed);
  const mode = random.pick(MODES);
  const writer = new Writer(mode);
  if (random.chance(0.3)) for (let i = 0; i < CODE_SIZE; i++) writer.bytes[i] = random.below(256);
  const favourite = random.pick(only);
  const entries: number[] = [];
  for (let left = 1 + random.below(MOST_ENTRIES); left > 0; left--) {
    if (random.chance(0.5)) writer.moveTo(CODE + random.below(CODE_SIZE - 256));
    if (writer.isFull) writer.moveTo(CODE);
    entries.push(writer.here);
    for (let attacks = 1 + random.below(3); attacks > 0; attacks--) {
      ATTACKS[random.chance(0.7) ? favourite : random.pick(only)]!(writer, random);
    }
    if (random.chance(0.7)) writer.put([0x0f, 0x0b]); // ud2: on to the next entry
  }
  return {
    mode,
    code: writer.bytes,
    entries,
    data: Uint8Array.from({ length: DATA_SIZE }, () => (random.chance(0.5) ? random.below(256) : 0)),
    descriptors: garbageDescriptors(random),
    registers: Array.from({ length: 16 }, (_, n) => (n === RSP ? BigInt(STACK_TOP) : startValue(random))),
  };
}

function startValue(random: Random): bigint {
  if (random.chance(0.5)) return BigInt(DATA + random.below(DATA_SIZE));
  return random.chance(0.5) ? BigInt(random.below(64)) : random.u64();
}
