/** One image with random options, changed by qemu-io and by us in turns, and looked at by both after each turn. */
import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hostDiskFiles } from '../../src/base/host-disk-files.ts';
import { HostFile } from '../../src/base/host-file.ts';
import { imageCodec } from '../../src/base/image-codec.ts';
import { makeQcow2 } from '../../src/cli/images.ts';
import { openDisk } from '../../src/disk/open-disk.ts';
import { checkImage } from '../../src/disk/qcow2/check.ts';
import { readHeader } from '../../src/disk/qcow2/open.ts';
import { Qcow2Disk } from '../../src/disk/qcow2/qcow2-disk.ts';
import { applySnapshot, createSnapshot, deleteSnapshot } from '../../src/disk/qcow2/snapshots.ts';
import { DiskModel, readDisk } from '../../src/disk/testing/disk-model.ts';
import { applyChange, randomChange } from '../../src/disk/testing/operations.ts';
import { Random } from '../../src/disk/testing/random.ts';
import { isZero } from '../../src/disk/tools/zeroes.ts';
import { qemuImg, qemuIo } from './qemu-tools.ts';

const SECTOR = 512;
const IMAGE = 'image.qcow2';
const EXPECTED = 'expected.raw';

/** Options of an image, in the words of `qemu-img create -o`. */
interface Shape {
  readonly size: number;
  readonly version: 2 | 3;
  readonly clusterSize: number;
  readonly refcountBits: number;
  readonly lazyRefcounts: boolean;
  readonly extendedL2: boolean;
  readonly compression: 'zlib' | 'zstd';
  readonly dataFile: 'none' | 'data' | 'raw';
  readonly backing: 'none' | 'raw' | 'qcow2';
  readonly preallocation: 'off' | 'metadata' | 'falloc' | 'full';
}

function randomShape(random: Random): Shape {
  const version = random.chance(15) ? 2 : 3;
  const modern = version === 3;
  const clusterBits = 9 + random.below(13);
  const dataFile = modern && random.chance(15) ? random.pick(['data', 'raw'] as const) : 'none';
  const backing = dataFile === 'raw' ? 'none' : random.pick(['none', 'none', 'raw', 'qcow2'] as const);
  const extendedL2 = modern && clusterBits >= 14 && random.chance(40);
  return {
    size: (1 + random.below(3 << 10)) * SECTOR,
    version,
    clusterSize: 2 ** clusterBits,
    refcountBits: modern && random.chance(60) ? 2 ** random.below(7) : 16,
    lazyRefcounts: modern && random.chance(30),
    extendedL2,
    compression: modern && random.chance(50) ? 'zstd' : 'zlib',
    dataFile,
    backing,
    preallocation: backing === 'none' ? random.pick(['off', 'off', 'metadata', 'falloc', 'full'] as const) : 'off',
  };
}

/** Runs the case of `seed` in `folder`, which is empty; throws if the two programs disagree. */
export async function runMatrixCase(folder: string, seed: number): Promise<void> {
  const run = new MatrixCase(folder, seed);
  try {
    await run.run();
  } catch (error) {
    throw new Error(`seed ${seed}: ${run.history.join(', ')}`, { cause: error });
  }
}

class MatrixCase {
  readonly history: string[] = [];
  readonly #folder: string;
  readonly #random: Random;
  readonly #shape: Shape;
  readonly #model: DiskModel;
  readonly #snapshots = new Map<string, Uint8Array>();
  #changed = false;

  constructor(folder: string, seed: number) {
    this.#folder = folder;
    this.#random = new Random(seed);
    this.#shape = randomShape(this.#random);
    this.#model = new DiskModel(this.#shape.size);
    this.history.push(JSON.stringify(this.#shape));
  }

  async run(): Promise<void> {
    this.#makeBacking();
    await this.#create();
    for (let turns = 1 + this.#random.below(2); turns > 0; turns--) {
      this.#turn('qemu', () => this.#changeByQemu());
      this.#turn('ours', () => this.#changeByUs());
      this.#look();
    }
    for (const [name, contents] of this.#snapshots) this.#lookAtSnapshot(name, contents);
  }

  #turn(name: string, change: () => void): void {
    this.history.push(name);
    change();
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }

  /** A backing file may be shorter or longer than the image. */
  #makeBacking(): void {
    const { backing, size } = this.#shape;
    if (backing === 'none') return;
    const length = Math.max(1, Math.floor((size / SECTOR) * this.#random.pick([0.4, 1, 1.3]))) * SECTOR;
    const contents = new Uint8Array(length);
    for (let at = 0; at < length; at += 1000)
      contents.fill(1 + this.#random.below(255), at, at + this.#random.below(999));
    writeFileSync(this.#path('base.raw'), contents);
    if (backing === 'qcow2') qemuImg(this.#folder, 'convert', '-O', 'qcow2', 'base.raw', 'base.qcow2');
    this.#model.contents.set(contents.subarray(0, size));
  }

  async #create(): Promise<void> {
    const shape = this.#shape;
    const onlyByQemu = shape.preallocation !== 'off' && shape.dataFile !== 'none';
    const byQemu = onlyByQemu || this.#random.chance(50);
    this.history.push(byQemu ? 'created by qemu-img' : 'created by us');
    if (!byQemu) {
      const options = {
        ...shape,
        ...(shape.backing === 'none'
          ? { backingFile: undefined as never }
          : { backingFile: `base.${shape.backing}`, backingFormat: shape.backing }),
        ...(shape.dataFile === 'none' ? { dataFile: undefined as never } : { dataFile: 'image.data' }),
        dataFileRaw: shape.dataFile === 'raw',
      };
      await makeQcow2(this.#path(IMAGE), options, shape.preallocation);
      return;
    }
    const on = (value: boolean) => (value ? 'on' : 'off');
    const options = [`compat=${shape.version === 2 ? '0.10' : '1.1'}`, `cluster_size=${shape.clusterSize}`];
    if (shape.version === 3) {
      options.push(`refcount_bits=${shape.refcountBits}`, `lazy_refcounts=${on(shape.lazyRefcounts)}`);
      options.push(`extended_l2=${on(shape.extendedL2)}`, `compression_type=${shape.compression}`);
    }
    if (shape.preallocation !== 'off') options.push(`preallocation=${shape.preallocation}`);
    if (shape.dataFile !== 'none') options.push('data_file=image.data');
    if (shape.dataFile === 'raw') options.push('data_file_raw=on');
    const backing = shape.backing === 'none' ? [] : ['-b', `base.${shape.backing}`, '-F', shape.backing];
    qemuImg(this.#folder, 'create', '-q', '-f', 'qcow2', ...backing, '-o', options.join(','), IMAGE, `${shape.size}`);
  }

  #changeByQemu(): void {
    const random = this.#random;
    const commands = this.#compressedWrites();
    for (let i = 1 + random.below(12); i > 0; i--) {
      const [offset, length] = this.#range();
      const kind = random.below(10);
      if (kind < 5) {
        const byte = 1 + random.below(255);
        this.#model.write(offset, new Uint8Array(length).fill(byte), length);
        commands.push(`write -P ${byte} ${offset} ${length}`);
      } else if (kind < 7) {
        this.#model.write(offset, undefined, length);
        commands.push(`write -z ${random.chance(50) ? '-u ' : ''}${offset} ${length}`);
      } else this.#discard(commands, offset, length);
    }
    qemuIo(this.#folder, IMAGE, commands);
    this.#snapshotByQemu();
  }

  #range(): [offset: number, length: number] {
    const { size } = this.#shape;
    const offset = this.#random.below(size / SECTOR) * SECTOR;
    const sectors = 1 + this.#random.below(this.#random.chance(30) ? 1000 : 20);
    return [offset, Math.min(size - offset, sectors * SECTOR)];
  }

  /** QEMU compresses only what has no cluster yet: in a new image. */
  #compressedWrites(): string[] {
    const { size, clusterSize, dataFile, preallocation } = this.#shape;
    if (this.#changed || dataFile !== 'none' || preallocation !== 'off') return [];
    this.#changed = true;
    const clusters = new Set<number>();
    for (let i = this.#random.below(8); i > 0; i--) clusters.add(this.#random.below(Math.ceil(size / clusterSize)));
    return [...clusters].map((cluster) => {
      const offset = cluster * clusterSize;
      const length = Math.min(clusterSize, size - offset);
      const byte = 1 + this.#random.below(255);
      this.#model.write(offset, new Uint8Array(length).fill(byte), length);
      return `write -c -P ${byte} ${offset} ${length}`;
    });
  }

  /** What a discarded cluster reads as is only certain where the image can say "zeroes". */
  #discard(commands: string[], offset: number, length: number): void {
    const { clusterSize, version, backing } = this.#shape;
    const from = Math.ceil(offset / clusterSize) * clusterSize;
    const whole = Math.floor((offset + length - from) / clusterSize) * clusterSize;
    if (whole <= 0 || (version === 2 && backing !== 'none')) return;
    this.#model.write(from, undefined, whole);
    commands.push(`discard ${from} ${whole}`);
  }

  #snapshotsFit(): boolean {
    // A cluster counts for each snapshot and each piece of compressed data.
    return this.#shape.refcountBits > 4 && this.#shape.dataFile === 'none';
  }

  #snapshotByQemu(): void {
    if (!this.#snapshotsFit() || !this.#random.chance(40)) return;
    const name = `q${this.#snapshots.size}`;
    this.history.push(`snapshot ${name}`);
    qemuImg(this.#folder, 'snapshot', '-c', name, IMAGE);
    this.#snapshots.set(name, this.#model.contents.slice());
  }

  #open(writable: boolean): Qcow2Disk {
    const world = { files: hostDiskFiles, codec: imageCodec };
    const trust = { outside: false, probe: false, dataFile: true };
    const disk = openDisk(world, this.#path(IMAGE), { writable, trust, lock: true });
    assert.ok(disk instanceof Qcow2Disk);
    return disk;
  }

  #changeByUs(): void {
    const disk = this.#open(true);
    assert.deepEqual(readDisk(disk), this.#model.contents, 'we read what qemu-io wrote');
    const { version, backing, size } = this.#shape;
    // A unit that no range has: no discard.
    const unit = version === 2 && backing !== 'none' ? size * 2 : disk.parts.image.subclusterSize;
    for (let i = this.#random.below(20); i > 0; i--) applyChange(disk, this.#model, randomChange(this.#random), unit);
    this.#snapshotByUs(disk);
    for (let i = this.#random.below(5); i > 0; i--) applyChange(disk, this.#model, randomChange(this.#random), unit);
    disk.close();
  }

  #snapshotByUs(disk: Qcow2Disk): void {
    if (!this.#snapshotsFit() || !this.#random.chance(60)) return;
    const names = [...this.#snapshots.keys()];
    const what = names.length === 0 ? 0 : this.#random.below(3);
    const name = what === 0 ? `o${this.#snapshots.size}` : this.#random.pick(names);
    this.history.push(`our ${['create', 'apply', 'delete'][what]} ${name}`);
    if (what === 0) {
      createSnapshot(disk.parts, name, 1_700_000_000_000);
      this.#snapshots.set(name, this.#model.contents.slice());
    } else if (what === 1) {
      applySnapshot(disk.parts, name);
      this.#model.write(0, this.#snapshots.get(name)!, this.#shape.size);
    } else {
      deleteSnapshot(disk.parts, name);
      this.#snapshots.delete(name);
    }
  }

  /** Both programs check the image and compare it with what it should hold. */
  #look(): void {
    qemuImg(this.#folder, 'check', '-q', IMAGE);
    const store = HostFile.open(this.#path(IMAGE));
    const { errors, leaks } = checkImage(store, readHeader(store)).found;
    store.close();
    assert.deepEqual({ errors, leaks }, { errors: 0, leaks: 0 });
    writeFileSync(this.#path(EXPECTED), this.#model.contents);
    qemuImg(this.#folder, 'compare', '-q', '-F', 'raw', IMAGE, EXPECTED);
    if (this.#shape.dataFile === 'raw') this.#compareRaw('image.data', this.#model.contents);
    const disk = this.#open(false);
    assert.deepEqual(readDisk(disk), this.#model.contents);
    disk.close();
  }

  /** The file of a raw image may have zeroes behind the disk. */
  #compareRaw(name: string, contents: Uint8Array): void {
    const found = readFileSync(this.#path(name));
    const isSame = found.subarray(0, contents.length).equals(contents);
    assert.ok(isSame && isZero(found, contents.length, found.length), `${name} is not what it should be`);
  }

  #lookAtSnapshot(name: string, contents: Uint8Array): void {
    rmSync(this.#path('snapshot.raw'), { force: true });
    qemuImg(this.#folder, 'convert', '-l', `snapshot.name=${name}`, '-O', 'raw', IMAGE, 'snapshot.raw');
    this.#compareRaw('snapshot.raw', contents);
    const disk = this.#open(true);
    applySnapshot(disk.parts, name);
    assert.deepEqual(readDisk(disk), contents, `snapshot ${name}`);
    disk.close();
  }
}
