/**
 * From the start of the process to the first instructions of the guest, and the memory of the VMM beyond the guest's,
 * beside QEMU: `node bench/start.ts [--pairs N]`. Ours is
 * measured from the sources, as in a checkout, and built, as it is published. The guest is a ROM that writes to COM1 at once. The measure includes
 * the way of that byte to standard output.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { print, RESET, rom } from '../e2e/rom.ts';
import { OURS, OURS_BUILT, QEMU } from './contenders.ts';
import { machineLine, spread, table } from './report.ts';
import { untilPrinted } from './watch.ts';

const { values } = parseArgs({ options: { pairs: { type: 'string', default: '10' } } });
const pairs = Number(values.pairs);
const FIRMWARE_SIZE = 64 << 10;

const folder = mkdtempSync(join(tmpdir(), 'crosvm-bench-'));
try {
  const path = join(folder, 'rom');
  writeFileSync(path, firmware(print('!')));
  writeFileSync(`${path}-reset`, firmware(print('!'), RESET));
  console.log(`${machineLine()}; pairs: ${pairs}\n`);
  console.log(table(['program', 'first output ms', 'CPU ms', 'private MB beyond the guest'], await measure(path)));
} finally {
  rmSync(folder, { recursive: true });
}

function firmware(...code: readonly number[][]): Uint8Array {
  const image = rom(...code);
  const bytes = new Uint8Array(FIRMWARE_SIZE);
  bytes.set(image, FIRMWARE_SIZE - image.length);
  return bytes;
}

async function measure(path: string): Promise<string[][]> {
  // A run that ends by itself fills the compile cache, as the runs of a user do.
  await import('../tools/build.ts');
  for (const ours of [OURS, OURS_BUILT]) spawnSync(ours.program, ours.firmware(`${path}-reset`));
  const results = [OURS, OURS_BUILT, QEMU].map((contender) => ({ contender, seconds: [0], cpu: [0], memory: [0] }));
  for (const { seconds, cpu, memory } of results) for (const list of [seconds, cpu, memory]) list.pop();
  for (let pair = 0; pair < pairs; pair++) {
    for (const { contender, seconds, cpu, memory } of results) {
      const measured = await untilPrinted(contender.program, contender.firmware(path), '!', contender.ram);
      seconds.push(measured.seconds * 1000);
      cpu.push(measured.cpuSeconds * 1000);
      memory.push(measured.other / 1e6);
    }
  }
  return results.map(({ contender, seconds, cpu, memory }) => [
    contender.name,
    spread(seconds, 0),
    spread(cpu, 0),
    spread(memory, 1),
  ]);
}
