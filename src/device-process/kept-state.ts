import { close } from '../base/fd.ts';
import { mmap, view } from '../base/mmap.ts';
import type { VirtioDevice } from '../virtio/device.ts';
import { decodeDeviceState, encodeDeviceState } from '../virtio/device-state.ts';

/** Bytes of the memory for it. */
export const KEPT_STATE_SIZE = 4096;

/** u32 which of two places is valid, 1 or 2; each has a u32 length and so many bytes. */
const PLACE_SIZE = 2040;
const HEADER_SIZE = 8;

/**
 * The state of a device in memory that outlives its process (`DeviceState` of src/virtio/device-state.ts), always the last
 * one that was written as a whole.
 */
export class KeptState {
  readonly #view: DataView;

  constructor(memory: ArrayBuffer) {
    this.#view = new DataView(memory);
  }

  /** In a memfd of KEPT_STATE_SIZE bytes, which is closed and stays mapped until the process ends. */
  static open(fd: number): KeptState {
    try {
      return new KeptState(view(mmap({ length: KEPT_STATE_SIZE, fd }), KEPT_STATE_SIZE));
    } finally {
      close(fd);
    }
  }

  /** `device` goes on as another one was when its state was last kept here, if any was. Throws `E_DEVICE_STATE`. */
  resume(device: VirtioDevice): void {
    const before = this.read();
    if (before !== undefined) decodeDeviceState(device, before);
  }

  /** The state of `device` is another one from now on. */
  keep(device: VirtioDevice): void {
    this.write(encodeDeviceState(device));
  }

  /** Undefined if there is none. */
  read(): Uint8Array | undefined {
    const place = this.#view.getUint32(0, true);
    if (place !== 1 && place !== 2) return undefined;
    const at = placeOf(place);
    const length = this.#view.getUint32(at, true);
    if (length > PLACE_SIZE - 4) return undefined;
    return new Uint8Array(this.#view.buffer.slice(at + 4, at + 4 + length));
  }

  /** Throws a `RangeError` for more bytes than there is room for. */
  write(bytes: Uint8Array): void {
    if (bytes.length > PLACE_SIZE - 4) throw new RangeError(`a state of ${bytes.length} bytes is too long to keep`);
    const place = this.#view.getUint32(0, true) === 1 ? 2 : 1;
    const at = placeOf(place);
    this.#view.setUint32(at, bytes.length, true);
    for (const [i, byte] of bytes.entries()) this.#view.setUint8(at + 4 + i, byte);
    this.#view.setUint32(0, place, true);
  }
}

function placeOf(place: 1 | 2): number {
  return HEADER_SIZE + (place - 1) * PLACE_SIZE;
}
