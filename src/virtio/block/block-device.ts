import { DiskQueue, DONE, type QueuedDisk } from '../../disk/disk-queue.ts';
import type { TransferEngine } from '../../disk/transfer-engine.ts';
import { CrosvmError } from '../../errors.ts';
import { type Fields, wholeNumber } from '../../fields.ts';
import { ScatterList } from '../../memory/scatter-list.ts';
import { type DeviceHost, EPOLLIN, type VirtioDevice } from '../device.ts';
import { type FeatureSet, featureSet, hasFeature } from '../features.ts';
import { DescriptorChain } from '../queue/descriptor-chain.ts';
import type { Virtqueue } from '../queue/virtqueue.ts';
import { LATER, serveRequests } from '../serve-requests.ts';
import {
  blockConfig,
  ID_SIZE,
  MAX_RANGES,
  SECTOR_SIZE,
  setCapacity,
  VIRTIO_BLK_F_BLK_SIZE,
  VIRTIO_BLK_F_DISCARD,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_F_MQ,
  VIRTIO_BLK_F_RO,
  VIRTIO_BLK_F_SEG_MAX,
  VIRTIO_BLK_F_WRITE_ZEROES,
  VIRTIO_BLK_S_IOERR,
  VIRTIO_BLK_S_OK,
  VIRTIO_BLK_S_UNSUPP,
  VIRTIO_BLK_T_DISCARD,
  VIRTIO_BLK_T_FLUSH,
  VIRTIO_BLK_T_GET_ID,
  VIRTIO_BLK_T_IN,
  VIRTIO_BLK_T_OUT,
  VIRTIO_BLK_T_WRITE_ZEROES,
  VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP,
} from './block-config.ts';
import { PendingRequest } from './pending-request.ts';

export interface BlockOptions {
  /** In bytes: what the guest should read and write in multiples of. A power of two from 512. */
  readonly blockSize: number;
  /** Discard gives space back to the host. */
  readonly sparse: boolean;
  readonly queues: number;
  /** The serial number, up to 20 bytes. */
  readonly id: string;
}

const QUEUE_SIZE = 256;

/** Requests served before other queues have their turn. */
const BATCH = 32;

/** Instead of a status: the disk has the request. */
const PENDING = -1;

/** Type, reserved and sector of a request. */
const HEADER_SIZE = 16;
/** Sector, number of sectors and flags of a range to discard or to fill with zeroes. */
const RANGE_SIZE = 16;

/** The block device (VIRTIO 1.3, section 5.2). Whatever a request says wrong, it fails alone. */
export class BlockDevice implements VirtioDevice {
  readonly type = 'block';
  readonly features: FeatureSet;
  readonly queueSizes: readonly number[];
  readonly config: Uint8Array;
  readonly #disk: DiskQueue;
  readonly #engine: TransferEngine | undefined;
  /** Requests that the engine has, by its slots. */
  readonly #pending: readonly PendingRequest[];
  readonly #sparse: boolean;
  readonly #id = new Uint8Array(ID_SIZE);
  readonly #chain = new DescriptorChain();
  /** The part of a request that is neither header nor status. */
  readonly #data = new ScatterList();
  /** Copies of what a request says, so that the guest cannot change it after it was checked. */
  readonly #header = new Uint8Array(HEADER_SIZE);
  readonly #headerView = new DataView(this.#header.buffer);
  readonly #ranges = new Uint8Array(RANGE_SIZE * MAX_RANGES);
  readonly #rangesView = new DataView(this.#ranges.buffer);
  readonly #status = new Uint8Array(1);
  /** The queue that is served. */
  #serving = 0;
  /** A queue was not served, as the engine had all that it takes. */
  #isStarved = false;
  /** If the driver does not flush, every write has to be stable when it is done (5.2.6.2). */
  #writeThrough = true;
  #host!: DeviceHost;

  /** `engine` carries requests out beside us; without it each is done at once. Disk and engine are the device's to close. */
  constructor(disk: QueuedDisk, { blockSize, sparse, queues, id }: BlockOptions, engine?: TransferEngine) {
    this.#disk = new DiskQueue(disk, engine, this.#ended);
    this.#engine = engine;
    this.#pending = Array.from({ length: engine?.capacity ?? 0 }, () => new PendingRequest());
    this.#sparse = sparse;
    this.#id.set(new TextEncoder().encode(id).subarray(0, ID_SIZE));
    this.queueSizes = new Array<number>(queues).fill(QUEUE_SIZE);
    this.config = blockConfig({ size: disk.size, blockSize, queues, queueSize: QUEUE_SIZE });
    const bits = [VIRTIO_BLK_F_SEG_MAX, VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_F_FLUSH];
    if (queues > 1) bits.push(VIRTIO_BLK_F_MQ);
    if (disk.writable) bits.push(VIRTIO_BLK_F_WRITE_ZEROES);
    else bits.push(VIRTIO_BLK_F_RO);
    if (disk.writable && sparse) bits.push(VIRTIO_BLK_F_DISCARD);
    this.features = featureSet(...bits);
  }

  attach(host: DeviceHost): void {
    this.#host = host;
    if (this.#engine !== undefined) host.watch(this.#engine.eventFd.fd, EPOLLIN, this.#collect);
  }

  negotiated(features: FeatureSet): void {
    this.#writeThrough = !hasFeature(features, VIRTIO_BLK_F_FLUSH);
  }

  serve(index: number, queue: Virtqueue): boolean {
    const { room } = this.#disk;
    if (room === 0) {
      this.#isStarved = true;
      return false;
    }
    this.#serving = index;
    const more = serveRequests(this.#host, index, queue, this.#chain, Math.min(BATCH, room), this.#answer);
    this.#disk.submit();
    this.#interrupt();
    return more;
  }

  queueStopping(): void {
    this.#drain();
  }

  memoryChanging(): void {
    this.#drain();
  }

  /** Changes the size of the disk to `size` bytes while the guest uses it. Throws `E_DISK_RESIZE`. */
  resize(size: number): void {
    this.#drain();
    this.#disk.resize(size);
    setCapacity(new DataView(this.config.buffer), size);
    this.#host.configChanged();
  }

  /** All else is in the disk. */
  saveState(): Fields {
    return { size: this.#disk.size };
  }

  loadState(state: Fields): void {
    const size = wholeNumber(state['size'], 'the size of its disk');
    if (size !== this.#disk.size) throw new TypeError(`its disk has ${size} bytes, and this one ${this.#disk.size}`);
  }

  reset(): void {
    this.#writeThrough = true;
  }

  close(): void {
    if (this.#engine !== undefined) this.#host.unwatch(this.#engine.eventFd.fd);
    this.#disk.close();
  }

  /** Answers what the engine has ended. */
  readonly #collect = (): void => {
    this.#engine!.eventFd.clear();
    this.#disk.collect();
    this.#goOn();
  };

  /** Waits for the end of all that the engine has, and answers it. */
  #drain(): void {
    this.#disk.drain();
    this.#goOn();
  }

  /** The engine has room again. */
  #goOn(): void {
    this.#interrupt();
    if (!this.#isStarved) return;
    this.#isStarved = false;
    for (let index = 0; index < this.queueSizes.length; index++) this.#host.serveSoon(index);
  }

  /** Tells the driver of what was answered: a request may have had to wait for those of any queue. */
  #interrupt(): void {
    for (let index = 0; index < this.queueSizes.length; index++) this.#host.interrupt(index);
  }

  readonly #ended = (slot: number, error: CrosvmError | undefined): void => {
    const request = this.#pending[slot]!;
    request.status = error === undefined ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
    this.#host.queue(request.queue)?.push(request.chain, request.written);
  };

  /** Without room for a status nothing can be said, so nothing is done. */
  readonly #answer = (chain: DescriptorChain): number => {
    const { writable } = chain;
    if (writable.length === 0) return 0;
    const status = this.#execute(chain);
    if (status === PENDING) return LATER;
    this.#status[0] = status;
    writable.copyFrom(this.#status, writable.length - 1);
    return writable.length;
  };

  #execute({ readable, writable }: DescriptorChain): number {
    if (readable.copyTo(this.#header) < HEADER_SIZE) return VIRTIO_BLK_S_IOERR;
    const offset = sectorOffset(this.#headerView, 8);
    this.#data.clear();
    try {
      switch (this.#headerView.getUint32(0, true)) {
        case VIRTIO_BLK_T_IN:
          this.#data.addRange(writable, 0, writable.length - 1);
          return this.#read(offset);
        case VIRTIO_BLK_T_OUT:
          this.#data.addRange(readable, HEADER_SIZE, readable.length - HEADER_SIZE);
          return this.#write(offset);
        case VIRTIO_BLK_T_FLUSH:
          return this.#statusOf(this.#disk.flush());
        case VIRTIO_BLK_T_GET_ID:
          this.#data.addRange(writable, 0, writable.length - 1);
          this.#data.copyFrom(this.#id);
          return VIRTIO_BLK_S_OK;
        case VIRTIO_BLK_T_DISCARD:
          return this.#sparse ? this.#forRanges(readable, 0, this.#discard) : VIRTIO_BLK_S_UNSUPP;
        case VIRTIO_BLK_T_WRITE_ZEROES:
          return this.#forRanges(readable, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP, this.#writeZeroes);
        default:
          return VIRTIO_BLK_S_UNSUPP;
      }
    } catch (error) {
      // Whatever the host could not do: EIO, ENOSPC, a damaged image.
      if (error instanceof CrosvmError) return VIRTIO_BLK_S_IOERR;
      throw error;
    }
  }

  #read(offset: number): number {
    if (!this.#isRange(offset, this.#data.length)) return VIRTIO_BLK_S_IOERR;
    return this.#statusOf(this.#disk.read(offset, this.#data));
  }

  #write(offset: number): number {
    if (!this.#disk.writable || !this.#isRange(offset, this.#data.length)) return VIRTIO_BLK_S_IOERR;
    if (!this.#writeThrough) return this.#statusOf(this.#disk.write(offset, this.#data));
    this.#disk.writeNow(offset, this.#data);
    this.#disk.flushNow();
    return VIRTIO_BLK_S_OK;
  }

  #statusOf(slot: number): number {
    if (slot === DONE) return VIRTIO_BLK_S_OK;
    this.#pending[slot]!.keep(this.#serving, this.#chain);
    return PENDING;
  }

  /** Checks all ranges of a request, whose flags may be among `allowed`, and then does what is to be done with each. */
  #forRanges(
    readable: ScatterList,
    allowed: number,
    act: (offset: number, length: number, flags: number) => void,
  ): number {
    if (!this.#disk.writable) return VIRTIO_BLK_S_IOERR;
    const size = readable.length - HEADER_SIZE;
    if (size === 0 || size % RANGE_SIZE !== 0 || size > this.#ranges.length) return VIRTIO_BLK_S_IOERR;
    readable.copyTo(this.#ranges, HEADER_SIZE);
    const view = this.#rangesView;
    for (let at = 0; at < size; at += RANGE_SIZE) {
      if ((view.getUint32(at + 12, true) & ~allowed) !== 0) return VIRTIO_BLK_S_UNSUPP;
      if (!this.#isRange(sectorOffset(view, at), rangeLength(view, at))) return VIRTIO_BLK_S_IOERR;
    }
    for (let at = 0; at < size; at += RANGE_SIZE) {
      act(sectorOffset(view, at), rangeLength(view, at), view.getUint32(at + 12, true));
    }
    if (this.#writeThrough) this.#disk.flushNow();
    return VIRTIO_BLK_S_OK;
  }

  readonly #discard = (offset: number, length: number): void => this.#disk.discard(offset, length);

  readonly #writeZeroes = (offset: number, length: number, flags: number): void =>
    this.#disk.writeZeroes(offset, length, (flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP) !== 0);

  /** Whether these bytes are whole sectors of the disk. */
  #isRange(offset: number, length: number): boolean {
    const end = this.#disk.size - (this.#disk.size % SECTOR_SIZE);
    return length % SECTOR_SIZE === 0 && offset <= end && length <= end - offset;
  }
}

/** In bytes, of the 64-bit sector number at a place; beyond all disks when it is not exact. */
function sectorOffset(view: DataView, at: number): number {
  return (view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32) * SECTOR_SIZE;
}

function rangeLength(view: DataView, at: number): number {
  return view.getUint32(at + 8, true) * SECTOR_SIZE;
}
