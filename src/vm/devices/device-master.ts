import { setNonBlocking } from '../../base/fd.ts';
import type { PacketConnection } from '../../base/unix-socket.ts';
import { type DeviceAnswer, type DeviceOrder, decodeAnswer, encodeOrder } from '../../device-process/device-orders.ts';
import { CrosvmError } from '../../errors.ts';

/** How long a device may take to carry an order out. For statistics of its memory it has to ask the guest. */
const ANSWER_TIMEOUT_MS = 5_000;
/** More orders than this do not wait for each other. */
const MAX_WAITING = 16;

/** Gives orders to a device of ours, one after the other, on the main thread's event loop. */
export class DeviceMaster {
  readonly #connection: PacketConnection;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  /** Who waits for an answer of which kind. */
  #current: { readonly kind: DeviceAnswer['kind']; readonly settle: (answer: DeviceAnswer) => void } | undefined;

  constructor(connection: PacketConnection) {
    this.#connection = connection;
    setNonBlocking(connection.fd, true); // who does not read keeps nobody waiting
    connection.onMessage((packet) => {
      const answer = packet === undefined ? gone() : decodeAnswer(packet);
      // An answer that comes too late is nobody's.
      if (answer.kind === 'failed' || answer.kind === this.#current?.kind) this.#current?.settle(answer);
    });
  }

  /** Settles when the order was carried out. Rejects with `E_DEVICE_ORDER` when it was not, or not in time. */
  order<K extends 'done' | 'balloonStats'>(order: DeviceOrder, kind: K): Promise<Extract<DeviceAnswer, { kind: K }>> {
    if (this.#waiting >= MAX_WAITING) throw new CrosvmError('E_DEVICE_ORDER', 'the device has too much to do');
    this.#waiting++;
    const turn = this.#last.then(() => this.#ask(order, kind)).finally(() => this.#waiting--);
    this.#last = turn.catch(() => {});
    return turn as Promise<Extract<DeviceAnswer, { kind: K }>>;
  }

  close(): void {
    this.#connection.close();
    this.#current?.settle(gone());
  }

  async #ask(order: DeviceOrder, kind: DeviceAnswer['kind']): Promise<DeviceAnswer> {
    const { promise, resolve: settle } = Promise.withResolvers<DeviceAnswer>();
    this.#current = { kind, settle };
    const timer = setTimeout(() => settle(failed('there was no answer in time')), ANSWER_TIMEOUT_MS);
    try {
      this.#connection.send(encodeOrder(order));
      const answer = await promise;
      if (answer.kind === 'failed') throw new CrosvmError('E_DEVICE_ORDER', answer.message);
      return answer;
    } finally {
      clearTimeout(timer);
      this.#current = undefined;
    }
  }
}

function failed(message: string): DeviceAnswer {
  return { kind: 'failed', message };
}

function gone(): DeviceAnswer {
  return failed('the device has gone');
}
