/**
 * Disk images that somebody has tampered with, until the time is over:
 *
 *     npm run fuzz -- qcow2 [--minutes N] [--images N] [--seed N]
 *
 * (or composite, android-sparse, zstd). Ends with status 1 if one made anything but an error of ours, changed an image
 * that was only read, made its file grow without need, or took too long.
 */
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { HOSTILE_FORMATS, type HostileFormat, runHostileImage } from '../e2e/disk/hostile-image.ts';

/** Milliseconds after which an image counts as hanging. */
const TOO_LONG = 20_000;

interface Job {
  readonly format: HostileFormat;
  readonly seed: number;
  readonly images: number;
  readonly milliseconds: number;
}

/** Posted before each image, and for each that failed. */
type Report = { readonly seed: number } | { readonly seed: number; readonly failure: string };

function work({ format, seed, images, milliseconds }: Job): void {
  const end = performance.now() + milliseconds;
  for (let i = 0; i < images && performance.now() < end; i++) {
    parentPort!.postMessage({ seed: seed + i } satisfies Report);
    try {
      runHostileImage(format, seed + i);
    } catch (error) {
      const failure = error instanceof Error ? error.stack! : String(error);
      parentPort!.postMessage({ seed: seed + i, failure } satisfies Report);
    }
  }
}

function supervise(): void {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      minutes: { type: 'string', default: '1' },
      images: { type: 'string' },
      seed: { type: 'string' },
    },
  });
  const format = HOSTILE_FORMATS.find((name) => name === positionals[0]);
  if (format === undefined) {
    console.error(`fuzz image: a format is missing: ${HOSTILE_FORMATS.join(', ')}`);
    process.exit(2);
  }
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
  const images = values.images === undefined ? Number.POSITIVE_INFINITY : Number(values.images);
  const job: Job = { format, seed, images, milliseconds: Number(values.minutes) * 60_000 };
  let failures = 0;
  let last = seed - 1;
  const fail = (at: number, what: string) => {
    failures++;
    console.log(`npm run fuzz -- ${format} --images 1 --seed ${at}\n    ${what}`);
  };
  const worker = new Worker(new URL(import.meta.url), { workerData: job });
  const hangs = () => {
    fail(last, `took more than ${TOO_LONG / 1000} s`);
    void worker.terminate();
  };
  let timer = setTimeout(hangs, TOO_LONG);
  worker.on('message', (report: Report) => {
    clearTimeout(timer);
    timer = setTimeout(hangs, TOO_LONG);
    last = report.seed;
    if ('failure' in report) fail(report.seed, report.failure);
  });
  worker.on('error', (error) => fail(last, String(error)));
  worker.on('exit', () => {
    clearTimeout(timer);
    console.log(`${last - seed + 1} images, ${failures} failed; next seed ${last + 1}`);
    process.exitCode = failures > 0 ? 1 : 0;
  });
}

if (isMainThread) supervise();
else work(workerData as Job);
