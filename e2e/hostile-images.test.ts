/** A few of the images that `npm run fuzz` makes, and those that once did harm. */
import { test } from 'node:test';
import { HOSTILE_FORMATS, type HostileFormat, runHostileImage } from './disk/hostile-image.ts';

const IMAGES = 300;

/** Seeds that found something. */
const FOUND: Readonly<Record<HostileFormat, readonly number[]>> = {
  qcow2: [6472],
  composite: [],
  'android-sparse': [],
  zstd: [],
};

for (const format of HOSTILE_FORMATS) {
  test(`${IMAGES} hostile images: ${format}`, () => {
    for (let seed = 1; seed <= IMAGES; seed++) run(format, seed);
    for (const seed of FOUND[format]) run(format, seed);
  });
}

function run(format: HostileFormat, seed: number): void {
  try {
    runHostileImage(format, seed);
  } catch (error) {
    throw new Error(`seed ${seed}`, { cause: error });
  }
}
