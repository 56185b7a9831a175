/** A process that is killed between any two of its stores, and its successor on the same file and with its log. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { imageCodec } from '../../base/image-codec.ts';
import { bytesList } from '../../memory/bytes-list.ts';
import { killedAt, type Mortal } from '../../virtio/testing/kill-points.ts';
import { MemoryStore } from '../memory-store.ts';
import { DiskModel, readDisk } from '../testing/disk-model.ts';
import { PowerCutStore, WatchedStore } from '../testing/failing-stores.ts';
import { applyChange, randomChange } from '../testing/operations.ts';
import { Random } from '../testing/random.ts';
import { checkImage } from './check.ts';
import { type CreateOptions, createQcow2 } from './create.ts';
import { prepareForWriting, readHeader } from './open.ts';
import { Qcow2Disk } from './qcow2-disk.ts';
import { TableLog } from './table-log.ts';

const SIZE = 192 << 10;
const SEEDS = Number(process.env['CROSVM_TEST_PROCESS_LOSSES'] ?? 10);

const SHAPES: readonly Omit<CreateOptions, 'size'>[] = [
  { clusterSize: 512 },
  { clusterSize: 512, refcountBits: 64 },
  { clusterSize: 4096, refcountBits: 1 },
  { clusterSize: 1024, version: 2 },
  { clusterSize: 16384, extendedL2: true },
  { clusterSize: 65536 },
];

/** A file whose every change may be the last. */
class FatalStore extends WatchedStore {
  onChange: () => void = () => {};

  protected override change(): void {
    this.onChange();
  }
}

function open(store: MemoryStore | WatchedStore, memory: Uint8Array): Qcow2Disk {
  const header = readHeader(store);
  const log = new TableLog(memory, 'the image');
  prepareForWriting(store, header, log);
  return new Qcow2Disk(store, header, { codec: imageCodec, l2CacheBytes: 4096, log });
}

/** Reopens the image with its log, as a successor, which a power cut may interrupt. */
function succeed(
  base: MemoryStore,
  memory: Uint8Array,
  onPowerCut: (left: MemoryStore) => void,
  random: Random,
): Qcow2Disk {
  const store = new PowerCutStore(base);
  store.onFlush = () => onPowerCut(store.cut(random));
  const disk = open(store, memory);
  store.onFlush = undefined;
  return disk;
}

for (const shape of SHAPES) {
  test(`a process that is killed loses nothing: ${JSON.stringify(shape)}`, () => {
    let kills = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = new Random(seed);
      const base = new MemoryStore('image');
      createQcow2(base, { ...shape, size: SIZE });
      const memory = new Uint8Array(random.pick([400, 3000, 1 << 16])); // so that some are too small
      /** Of what is done, and of what is on the medium. */
      const model = new DiskModel(SIZE);
      const about = () => `seed ${seed}, kill ${kills}`;
      for (let life = 0; life < 6; life++) {
        let disk = succeed(base, memory, (left) => verifyImage(left, about()), random);
        const found = readDisk(disk);
        assert.equal(model.wrongSector(found), undefined, `${about()}: sector ${model.wrongSector(found)} was lost`);
        model.contents.set(found); // of what was under way, either is right
        verifyImage(copyOf(base), about());
        const store = new FatalStore(base);
        const work = (mortal: Mortal) => {
          store.onChange = () => mortal.store();
          disk = mortal.spare(() => open(store, memory));
          for (let i = 0; i < 12; i++) {
            model.flushed();
            if (random.chance(15)) disk.flush();
            else applyChange(disk, model, randomChange(random), disk.parts.image.clusterSize);
          }
          model.flushed();
        };
        if (killedAt(random.below(random.pick([50, 500, 3000])), work)) kills++;
      }
    }
    assert.ok(kills > SEEDS, String(kills));
  });
}

test('a process that is killed while its disk grows, with other tables than before, loses nothing', () => {
  const [before, after] = [64 << 10, 5 << 19];
  let kills = 0;
  const places = new Set<number>();
  for (let store = 0, wasKilled = true; wasKilled; store += 1499) {
    const base = new MemoryStore('image');
    // Wide counts, so that the first table is soon too small.
    createQcow2(base, { clusterSize: 512, refcountBits: 64, size: before });
    const memory = new Uint8Array(1 << 16);
    const first = open(base, memory);
    const ones = new Uint8Array(before).fill(1);
    first.write(0, bytesList(ones));
    first.flush();
    const random = new Random(store);
    let written = 0;
    wasKilled = killedAt(store, (mortal) => {
      const fatal = new FatalStore(base);
      fatal.onChange = () => mortal.store();
      const disk = mortal.spare(() => open(fatal, memory));
      disk.resize(after);
      for (let at = before; at < after; at += 32768) {
        disk.write(at, bytesList(new Uint8Array(32768).fill(2)));
        written = at + 32768 - before;
      }
    });
    if (wasKilled) kills++;
    places.add(readHeader(base).refcountTableOffset);
    const disk = succeed(base, memory, (left) => verifyImage(left, `store ${store}`), random);
    verifyImage(copyOf(base), `store ${store}`);
    assert.deepEqual(readDisk(disk, 0, before), ones);
    assert.ok(
      readDisk(disk, before, written).every((byte) => byte === 2),
      `store ${store}`,
    );
  }
  assert.ok(kills > 10 && places.size > 1, `${kills} kills, tables at ${[...places]}`);
});

function copyOf(store: MemoryStore): MemoryStore {
  return new MemoryStore('a copy', store.contents());
}

/** Nothing is wrong but that clusters may be lost. */
function verifyImage(store: MemoryStore, about: string): void {
  const { errors, messages } = checkImage(store, readHeader(store), 'none').found;
  assert.equal(errors, 0, `${about}: ${messages.join('; ')}`);
}
