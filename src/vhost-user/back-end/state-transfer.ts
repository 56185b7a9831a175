/** The state of a device on its way to or from a front end, through a pipe (vhost-user, "Migrating back-end state"). */
import { EPOLLIN, EPOLLOUT } from '../../base/epoll.ts';
import type { EventLoop } from '../../base/event-loop.ts';
import { close, read, setNonBlocking, write } from '../../base/fd.ts';
import { SystemError } from '../../base/system-error.ts';
import { CrosvmError } from '../../errors.ts';
import { MAX_DEVICE_STATE } from '../../virtio/device-state.ts';

/** One in either direction. It goes on by itself, in the device's loop; nobody waits for the front end. */
export interface StateTransfer {
  /** Whether all went well. Nothing happens afterwards. */
  end(): boolean;
}

/** Writes `bytes` to a pipe, which is closed behind them. Throws `SystemError` for what is no pipe. */
export class StateWriter implements StateTransfer {
  readonly #loop: EventLoop;
  readonly #bytes: Uint8Array;
  #fd: number;
  #done = 0;

  constructor(loop: EventLoop, fd: number, bytes: Uint8Array) {
    this.#loop = loop;
    this.#fd = fd;
    this.#bytes = bytes;
    watchPipe(loop, fd, EPOLLOUT, () => this.#write());
  }

  end(): boolean {
    this.#close();
    return this.#done === this.#bytes.length;
  }

  #write(): void {
    try {
      const n = write(this.#fd, this.#bytes.subarray(this.#done));
      if (n > 0) this.#done += n;
      if (this.#done === this.#bytes.length) this.#close();
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.#close(); // nobody reads it any more
    }
  }

  #close(): void {
    if (this.#fd === -1) return;
    this.#loop.unwatch(this.#fd);
    close(this.#fd);
    this.#fd = -1;
  }
}

/** Reads a state from a pipe, and hands it on when it is whole. Throws `SystemError` for what is no pipe. */
export class StateReader implements StateTransfer {
  readonly #loop: EventLoop;
  readonly #onWhole: (bytes: Uint8Array) => void;
  readonly #bytes = new Uint8Array(MAX_DEVICE_STATE + 1);
  #fd: number;
  #length = 0;
  #isLoaded = false;

  /** `onWhole` throws a `CrosvmError` if the device cannot use it. */
  constructor(loop: EventLoop, fd: number, onWhole: (bytes: Uint8Array) => void) {
    this.#loop = loop;
    this.#fd = fd;
    this.#onWhole = onWhole;
    watchPipe(loop, fd, EPOLLIN, () => void this.#read());
  }

  /** All of it is in the pipe, or was. */
  end(): boolean {
    while (this.#fd !== -1 && this.#read());
    this.#close();
    return this.#isLoaded;
  }

  /** Whether there may be more now. */
  #read(): boolean {
    try {
      const n = read(this.#fd, this.#bytes.subarray(this.#length));
      if (n === -1) return false;
      this.#length += n;
      if (n > 0 && this.#length <= MAX_DEVICE_STATE) return true;
      this.#close();
      this.#onWhole(this.#bytes.subarray(0, this.#length));
      this.#isLoaded = true;
    } catch (error) {
      if (!(error instanceof CrosvmError)) throw error;
      this.#close();
    }
    return false;
  }

  #close(): void {
    if (this.#fd === -1) return;
    this.#loop.unwatch(this.#fd);
    close(this.#fd);
    this.#fd = -1;
  }
}

function watchPipe(loop: EventLoop, fd: number, events: number, callback: () => void): void {
  try {
    setNonBlocking(fd, true);
    loop.watch(fd, events, callback);
  } catch (error) {
    close(fd);
    throw error;
  }
}
