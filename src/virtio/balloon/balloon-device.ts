import { CrosvmError } from '../../errors.ts';
import { type Fields, wholeNumber } from '../../fields.ts';
import { type HostMemory, ScatterList } from '../../memory/scatter-list.ts';
import type { DeviceHost, VirtioDevice } from '../device.ts';
import { type FeatureSet, featureSet } from '../features.ts';
import { DescriptorChain, KeptChain } from '../queue/descriptor-chain.ts';
import type { Virtqueue } from '../queue/virtqueue.ts';
import { serveRequests } from '../serve-requests.ts';
import { type BalloonStats, readStats } from './balloon-stats.ts';

export const VIRTIO_BALLOON_F_STATS_VQ = 1;
export const VIRTIO_BALLOON_F_DEFLATE_ON_OOM = 2;
export const VIRTIO_BALLOON_F_PAGE_REPORTING = 5;

/** Gives whole pages of guest memory back to the host; they read as zeroes then. What cannot be given back stays. */
export type MemoryReleaser = (memory: HostMemory, start: number, length: number) => void;

export interface BalloonOptions {
  /** The guest may take memory back when it has no other. */
  readonly deflateOnOom: boolean;
  /** The guest gives back what it does not use, without being asked. */
  readonly pageReporting: boolean;
  /** Bytes that the balloon is to take from the start. */
  readonly size: number;
  /** Called when what `saveState` says has changed. */
  readonly onStateChange?: () => void;
}

const INFLATE = 0;
const DEFLATE = 1;
const STATS = 2;
/**
 * Where free pages are reported depends on the driver: the specification has queue 4, but Linux leaves no gap for the
 * queue of a feature that is not offered.
 */
const QUEUES = 5;
const QUEUE_SIZE = 128;

/** The unit of page numbers, whatever pages the guest has (5.5). */
const PAGE_SIZE = 4096;
/** Requests done before others have their turn. */
const BATCH = 16;
/** Page numbers of one request; Linux puts 256 into one. More are left alone, so that no request takes for ever. */
const MAX_PAGES = 4096;

const MAX_U32 = 0xffff_ffff;

const CONFIG = { numPages: 0, actual: 4, size: 16 };

/** The traditional memory balloon device (VIRTIO 1.3, section 5.5). */
export class BalloonDevice implements VirtioDevice {
  readonly type = 'balloon';
  readonly features: FeatureSet;
  readonly queueSizes = new Array<number>(QUEUES).fill(QUEUE_SIZE);
  readonly config = new Uint8Array(CONFIG.size);
  readonly #config = new DataView(this.config.buffer);
  readonly #release: MemoryReleaser;
  readonly #onStateChange: () => void;
  readonly #chain = new DescriptorChain();
  /** The buffer with statistics, which the driver gets back when new ones are wanted. */
  readonly #stats = new KeptChain();
  #holdsStats = false;
  #awaitingStats: ((stats: BalloonStats) => void)[] = [];
  readonly #pages = new Uint32Array(MAX_PAGES);
  readonly #pageBytes = new Uint8Array(this.#pages.buffer);
  readonly #run = new ScatterList();
  #host!: DeviceHost;

  constructor(
    release: MemoryReleaser,
    { deflateOnOom, pageReporting, size, onStateChange = () => {} }: BalloonOptions,
  ) {
    this.#release = release;
    this.#onStateChange = onStateChange;
    const bits = [VIRTIO_BALLOON_F_STATS_VQ];
    if (deflateOnOom) bits.push(VIRTIO_BALLOON_F_DEFLATE_ON_OOM);
    if (pageReporting) bits.push(VIRTIO_BALLOON_F_PAGE_REPORTING);
    this.features = featureSet(...bits);
    this.#config.setUint32(CONFIG.numPages, Math.floor(size / PAGE_SIZE), true);
  }

  /** Bytes that the guest has given. */
  get actual(): number {
    return this.#config.getUint32(CONFIG.actual, true) * PAGE_SIZE;
  }

  /** Asks the guest for so many bytes altogether. */
  inflateTo(bytes: number): void {
    this.#config.setUint32(CONFIG.numPages, Math.floor(bytes / PAGE_SIZE), true);
    this.#onStateChange();
    this.#host.configChanged();
  }

  /** Asks the guest for statistics, which come when it has time. Throws `E_BALLOON_STATS` when it has none to give. */
  requestStats(done: (stats: BalloonStats) => void): void {
    const queue = this.#host.queue(STATS);
    if (!this.#holdsStats || queue === undefined) {
      if (this.#awaitingStats.length === 0) {
        throw new CrosvmError('E_BALLOON_STATS', 'the guest gives no statistics of its memory');
      }
    } else {
      this.#holdsStats = false;
      queue.push(this.#stats, 0);
      this.#host.interrupt(STATS);
    }
    this.#awaitingStats.push(done);
  }

  attach(host: DeviceHost): void {
    this.#host = host;
  }

  negotiated(): void {}

  configWritten(offset: number, bytes: Uint8Array): void {
    if (offset !== CONFIG.actual || bytes.length !== 4) return;
    this.config.set(bytes, offset);
    this.#onStateChange();
  }

  serve(index: number, queue: Virtqueue): boolean {
    if (index === STATS) return this.#takeStats(queue);
    return serveRequests(this.#host, index, queue, this.#chain, BATCH, this.#answers[index] ?? this.#report);
  }

  queueStopping(index: number, queue: Virtqueue): void {
    if (index !== STATS || !this.#holdsStats) return;
    this.#holdsStats = false;
    queue.unpop(this.#stats);
  }

  saveState(): Fields {
    return {
      target: this.#config.getUint32(CONFIG.numPages, true),
      actual: this.#config.getUint32(CONFIG.actual, true),
    };
  }

  loadState(state: Fields): void {
    const target = wholeNumber(state['target'], 'the size of the balloon', MAX_U32);
    const actual = wholeNumber(state['actual'], 'what the balloon has', MAX_U32);
    this.#config.setUint32(CONFIG.numPages, target, true);
    this.#config.setUint32(CONFIG.actual, actual, true);
  }

  reset(): void {
    this.#holdsStats = false;
    this.#awaitingStats = [];
    this.#config.setUint32(CONFIG.actual, 0, true);
    this.#onStateChange();
  }

  close(): void {}

  /** The driver gives pages, by their numbers. */
  readonly #inflate = ({ readable }: DescriptorChain): number => {
    const count = readable.copyTo(this.#pageBytes) >> 2;
    const pages = this.#pages;
    for (let first = 0; first < count; ) {
      let end = first + 1;
      while (end < count && pages[end] === pages[end - 1]! + 1) end++;
      this.#releaseRange(pages[first]! * PAGE_SIZE, (end - first) * PAGE_SIZE);
      first = end;
    }
    return 0;
  };

  /** Pages that were taken back are there when they are touched. */
  readonly #deflate = (): number => 0;

  /** Pages that the guest does not use now: the writable part of a request. */
  readonly #report = ({ writable }: DescriptorChain): number => {
    this.#releaseList(writable);
    return 0;
  };

  readonly #answers = { [INFLATE]: this.#inflate, [DEFLATE]: this.#deflate } as Partial<
    Record<number, (chain: DescriptorChain) => number>
  >;

  /** Page numbers beyond memory are nobody's. */
  #releaseRange(gpa: number, length: number): void {
    this.#run.clear();
    this.#host.memory.append(this.#run, gpa, length);
    this.#releaseList(this.#run);
  }

  #releaseList(list: ScatterList): void {
    for (let i = 0; i < list.count; i++) this.#release(list.memories[i]!, list.starts[i]!, list.lengths[i]!);
  }

  /** The newest buffer is kept; a driver that gives several gets the others back. */
  #takeStats(queue: Virtqueue): boolean {
    for (let left = BATCH; left > 0; left--) {
      if (!queue.pop(this.#chain)) {
        this.#host.interrupt(STATS);
        return queue.enableNotification();
      }
      if (this.#holdsStats) {
        queue.push(this.#chain, 0);
        continue;
      }
      const stats = readStats(this.#chain.readable);
      this.#stats.keep(this.#chain);
      this.#holdsStats = true;
      const waiting = this.#awaitingStats;
      this.#awaitingStats = [];
      for (const done of waiting) done(stats);
    }
    return true;
  }
}
