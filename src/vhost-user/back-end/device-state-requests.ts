import type { EventLoop } from '../../base/event-loop.ts';
import { closeAll } from '../../base/fd.ts';
import { SystemError } from '../../base/system-error.ts';
import type { Log } from '../../log.ts';
import { decodeDeviceState, encodeDeviceState } from '../../virtio/device-state.ts';
import { LOAD, SAVE, STATE_REFUSED, STOPPED, THEIR_PIPE } from '../protocol/device-state.ts';
import type { DeviceStateTransfer } from '../protocol/payloads.ts';
import type { DeviceRunner } from './device-runner.ts';
import { StateReader, type StateTransfer, StateWriter } from './state-transfer.ts';

/** What a front end asks about the state of a device that stands still. */
export class DeviceStateRequests {
  readonly #runner: DeviceRunner;
  readonly #loop: EventLoop;
  readonly #log: Log;
  /** The one that was asked for last. */
  #transfer: StateTransfer | undefined;

  constructor(runner: DeviceRunner, loop: EventLoop, log: Log) {
    this.#runner = runner;
    this.#loop = loop;
    this.#log = log;
  }

  /** SET_DEVICE_STATE_FD: its answer. `fds` become the transfer's. */
  start(wanted: DeviceStateTransfer, fds: readonly number[]): bigint {
    this.end();
    this.#transfer = this.#start(wanted, fds);
    return this.#transfer === undefined ? STATE_REFUSED : THEIR_PIPE;
  }

  /** CHECK_DEVICE_STATE: 0 if all of it has gone where it should. */
  check(): bigint {
    return this.end() ? 0n : 1n;
  }

  /** Whether there was a transfer that had come to its end. */
  end(): boolean {
    const isDone = this.#transfer?.end() ?? false;
    this.#transfer = undefined;
    return isDone;
  }

  #start({ direction, phase }: DeviceStateTransfer, fds: readonly number[]): StateTransfer | undefined {
    const { device, isRunning } = this.#runner;
    const [pipe] = fds;
    if (isRunning || phase !== STOPPED || (direction !== SAVE && direction !== LOAD) || fds.length > 1 || !pipe) {
      closeAll(fds);
      return undefined;
    }
    try {
      if (direction === SAVE) return new StateWriter(this.#loop, pipe, encodeDeviceState(device));
      return new StateReader(this.#loop, pipe, (bytes) => this.#load(bytes));
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      return undefined; // it is no pipe
    }
  }

  #load(bytes: Uint8Array): void {
    try {
      decodeDeviceState(this.#runner.device, bytes);
    } catch (error) {
      this.#log('warn', (error as Error).message);
      throw error;
    }
    this.#runner.configChanged();
  }
}
