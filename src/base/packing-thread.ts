/** The program of a thread that compresses clusters. */
import { workerData } from 'node:worker_threads';
import { imageCodec } from './image-codec.ts';
import {
  CLUSTERS,
  FAILED,
  FINISHED,
  LENGTHS,
  OVER,
  type PackingBatch,
  type PackingShare,
  STARTED,
  STATE,
} from './packing-layout.ts';

const { type, clusterSize, batches } = workerData as PackingShare;

function pack({ words, input, output }: PackingBatch): void {
  for (let i = 0; i < words[CLUSTERS]!; i++) {
    const at = i * clusterSize;
    const packed = imageCodec.compress(type, input.subarray(at, at + clusterSize));
    const isShorter = packed.length < clusterSize;
    if (isShorter) output.set(packed, at);
    words[LENGTHS + i] = isShorter ? packed.length : 0;
  }
}

for (let at = 0; ; at = (at + 1) % batches.length) {
  const batch = batches[at]!;
  const { words } = batch;
  for (let state = Atomics.load(words, STATE); state !== STARTED; state = Atomics.load(words, STATE)) {
    if (state === OVER) process.exit();
    Atomics.wait(words, STATE, state);
  }
  let state = FINISHED;
  try {
    pack(batch);
  } catch {
    state = FAILED;
  }
  Atomics.store(words, STATE, state);
  Atomics.notify(words, STATE);
}
