/**
 * The thread of a back end that says what it likes: it answers most requests as it should, so that the next ones come, and
 * some with what cannot be. It never keeps its front end waiting: it would rather end the connection.
 */
import { parentPort } from 'node:worker_threads';
import { Random } from '../../e2e/differential/random.ts';
import { EventFd } from '../../src/base/event-fd.ts';
import { close, closeAll, dup, pipe, setNonBlocking, write } from '../../src/base/fd.ts';
import { createMemfd } from '../../src/base/memfd.ts';
import { StreamConnection } from '../../src/base/unix-stream.ts';
import { CrosvmError } from '../../src/errors.ts';
import { MessageChannel } from '../../src/vhost-user/message-channel.ts';
import { encodeMessage, FLAG_NEED_REPLY, FLAG_REPLY, type Message } from '../../src/vhost-user/protocol/message.ts';
import {
  config,
  configReply,
  inflight,
  MAX_SHARED_MEMORIES,
  sharedMapping,
  sharedMemorySizes,
  u64,
  vringState,
} from '../../src/vhost-user/protocol/payloads.ts';
import { backEndRequests, type FrontEndRequest, frontEndRequestNames } from '../../src/vhost-user/protocol/requests.ts';

/** What the thread is told: the connection, which becomes the thread's. */
export interface LyingOrder {
  readonly fd: number;
  readonly seed: number;
}

const PAGE = 4096;
const PATIENCE = 10_000;
/** As many of the front end's eventfds and files as are kept to be used. */
const MAX_KEPT = 40;
const FILE_SIZE = 16 * PAGE;
/** How many answers are none. */
const LIES = 0.01;
const VERSION_1_AND_PROTOCOL = (1n << 32n) | (1n << 30n);

interface Answer {
  readonly payload: Uint8Array;
  readonly fds?: readonly number[];
}

class Liar {
  readonly #random: Random;
  readonly #stream: StreamConnection;
  readonly #channel: MessageChannel;
  readonly #file = createMemfd('fuzz', FILE_SIZE);
  readonly #kept: number[] = [];
  /** Where things are asked of the front end. */
  #requests: StreamConnection | undefined;
  /** The other end of a pipe for a state, and which way that goes. */
  #pipe: { readonly fd: number; readonly isSaving: boolean } | undefined;

  constructor({ fd, seed }: LyingOrder) {
    this.#random = new Random(seed);
    this.#stream = new StreamConnection(fd);
    this.#channel = new MessageChannel(this.#stream, PATIENCE);
  }

  run(): void {
    try {
      let goesOn = true;
      while (goesOn) {
        const message = this.#channel.receiveNext();
        if (message === undefined) break;
        goesOn = this.#handle(message);
      }
    } catch (error) {
      if (!(error instanceof CrosvmError)) throw error;
    } finally {
      this.#endPipe();
      closeAll([this.#file, ...this.#kept]);
      this.#requests?.close();
      this.#channel.close();
    }
  }

  /** Whether there is to be a next one. */
  #handle(message: Message): boolean {
    const random = this.#random;
    const name = frontEndRequestNames.get(message.request)!;
    this.#endPipe();
    this.#keep(name, message.fds);
    if (random.chance(0.2)) this.#ask();
    if (random.chance(0.1) && this.#kept.length > 0) signal(random.pick(this.#kept));
    const answer = this.#answer(name, message);
    if (random.chance(LIES)) return this.#lie(message.request, answer);
    if (answer !== undefined) this.#channel.send(message.request, FLAG_REPLY, answer.payload, answer.fds);
    this.#usePipe();
    return true;
  }

  #keep(name: FrontEndRequest, fds: readonly number[]): void {
    if (name === 'SET_BACKEND_REQ_FD' && fds.length === 1) {
      this.#requests?.close();
      this.#requests = new StreamConnection(fds[0]!);
    } else if (this.#kept.length + fds.length > MAX_KEPT) closeAll(fds);
    else this.#kept.push(...fds);
  }

  /** What a sound back end could say, with whatever numbers. Undefined: nothing. */
  #answer(name: FrontEndRequest, { payload, needReply }: Message): Answer | undefined {
    const random = this.#random;
    switch (name) {
      case 'GET_FEATURES':
        return { payload: u64.encode(random.u64() | (random.chance(0.95) ? VERSION_1_AND_PROTOCOL : 0n)) };
      case 'GET_PROTOCOL_FEATURES':
        return { payload: u64.encode(random.chance(0.5) ? (1n << 64n) - 1n : random.u64()) };
      case 'GET_QUEUE_NUM':
        return { payload: u64.encode(random.pick([0n, 1n, 2n, 3n, 64n, 65n, 1_000_000n, 1n << 63n])) };
      case 'GET_CONFIG': {
        const { flags, bytes } = config.decode(payload);
        for (let i = 0; i < bytes.length; i++) bytes[i] = random.u32();
        return { payload: configReply.encode({ offset: random.pick([0, 0, 1, 0xffff_ffff]), flags, bytes }) };
      }
      case 'GET_VRING_BASE':
        return {
          payload: vringState.encode({ index: random.below(70), num: random.pick([0, 1, 0xffff, 0xffff_ffff]) }),
        };
      case 'GET_INFLIGHT_FD': {
        const area = { mmapSize: this.#size(), mmapOffset: this.#size(), numQueues: random.below(70), queueSize: 64 };
        return { payload: inflight.encode(area), fds: random.chance(0.9) ? [this.#file] : [] };
      }
      case 'GET_SHMEM_CONFIG': {
        const others = random.chance(0.2) ? 0.02 : 0;
        const size = (id: number) => (id === 0 ? random.pick([FILE_SIZE, 64 << 20]) : this.#size());
        const has = (id: number) => (id === 0 ? random.chance(0.8) : random.chance(others));
        const sizes = Array.from({ length: MAX_SHARED_MEMORIES }, (_, id) => (has(id) ? size(id) : 0));
        return { payload: sharedMemorySizes.encode(sizes) };
      }
      case 'SET_DEVICE_STATE_FD':
        return this.#startState(payload);
      case 'CHECK_DEVICE_STATE':
        return { payload: u64.encode(random.pick([0n, 0n, 1n, random.u64()])) };
      default:
        return needReply ? { payload: u64.encode(random.chance(0.97) ? 0n : random.u64()) } : undefined;
    }
  }

  #size(): number {
    return this.#random.pick([0, PAGE, FILE_SIZE, 2 << 20, 64 << 20, 2 ** 32, 2 ** 39, 1, Number.MAX_SAFE_INTEGER]);
  }

  #startState(payload: Uint8Array): Answer {
    const random = this.#random;
    const isSaving = payload[0] === 0;
    const theirs = this.#kept.at(-1);
    if (random.chance(0.6) && theirs !== undefined) {
      this.#pipe = { fd: dup(theirs), isSaving };
      return { payload: u64.encode(random.pick([0x100n, 0x100n, 0x101n, 0n])) };
    }
    if (random.chance(0.3)) return { payload: u64.encode(0n), fds: [random.pick([this.#file, this.#stream.fd])] };
    const [reader, writer] = pipe();
    const [ours, forThem] = isSaving ? [writer, reader] : [reader, writer];
    this.#pipe = { fd: ours, isSaving };
    this.#kept.push(forThem);
    return { payload: u64.encode(random.pick([0n, 0n, 1n])), fds: [forThem] };
  }

  /** Some of a state; the rest is the end. */
  #usePipe(): void {
    if (this.#pipe?.isSaving === true) {
      const bytes = new Uint8Array(1 + this.#random.below(40_000)).fill(7);
      try {
        setNonBlocking(this.#pipe.fd, this.#random.chance(0.5));
        write(this.#pipe.fd, bytes);
      } catch {
        // nobody reads it any more
      }
      this.#endPipe();
    }
  }

  /** Nobody has an end of it that we have had. */
  #endPipe(): void {
    if (this.#pipe === undefined) return;
    close(this.#pipe.fd);
    this.#pipe = undefined;
    closeAll(this.#kept.splice(0));
  }

  /** Something that no back end says. Whether the connection goes on. */
  #lie(request: number, answer: Answer | undefined): boolean {
    const random = this.#random;
    const payload = answer?.payload ?? u64.encode(0n);
    const other = new Uint8Array(random.pick([0, 7, 9, 12, 40, 300, 4096, 4097])).fill(random.u32());
    const cases: (() => void)[] = [
      () => this.#send(encodeMessage(request, FLAG_REPLY, payload), random.pick([1, 2, 8, 9, 32])),
      () => this.#send(encodeMessage(request, FLAG_REPLY, other), random.below(3)),
      () => this.#send(encodeMessage(request + 1, FLAG_REPLY, payload), random.below(3)),
      () => this.#send(encodeMessage(request, random.pick([0, FLAG_NEED_REPLY, 2, 3]), payload), random.below(3)),
      () => this.#send(encodeMessage(request, FLAG_REPLY, payload).subarray(0, 1 + random.below(19)), random.below(9)),
      () => this.#send(other, random.below(9)),
      () => {
        this.#send(encodeMessage(request, FLAG_REPLY, payload), 0);
        this.#send(encodeMessage(request, FLAG_REPLY, payload), random.below(3));
      },
      () => {},
    ];
    const which = random.below(cases.length);
    cases[which]!();
    // What the front end would wait for is not to come: so that it does not, this is the end.
    return false;
  }

  #send(bytes: Uint8Array, fds: number): void {
    if (bytes.length > 0) this.#stream.send(bytes, new Array(fds).fill(this.#file), PATIENCE);
  }

  /** Asks something of the front end, and looks at no answer. */
  #ask(): void {
    const random = this.#random;
    if (this.#requests === undefined) return;
    const { CONFIG_CHANGE_MSG, SHMEM_MAP, SHMEM_UNMAP } = backEndRequests;
    const pages = () => PAGE * random.pick([0, 1, 1, 1, 1, 2, 3, 16, 512, 2 ** 40]);
    const mapping = sharedMapping.encode({
      ...{ id: random.below(3) === 0 ? random.below(256) : 0, offset: pages(), length: pages() },
      ...{ fdOffset: pages() + random.pick([0, 0, 0, 1]), writable: random.chance(0.5) },
    });
    const request = random.pick([CONFIG_CHANGE_MSG.id, SHMEM_MAP.id, SHMEM_MAP.id, SHMEM_UNMAP.id, 1, random.u32()]);
    const payload = random.chance(0.9) ? mapping : new Uint8Array(random.below(50));
    const isConfig = request === CONFIG_CHANGE_MSG.id && random.chance(0.8);
    const bytes = encodeMessage(request, random.pick([0, FLAG_NEED_REPLY, FLAG_NEED_REPLY, FLAG_REPLY]), payload);
    const message = isConfig ? encodeMessage(request, FLAG_NEED_REPLY, new Uint8Array(0)) : bytes;
    try {
      const fds = random.chance(0.8) ? 1 : random.below(10);
      const cut = random.chance(0.97) ? message.length : 1 + random.below(message.length);
      this.#requests.send(message.subarray(0, cut), new Array(isConfig ? 0 : fds).fill(this.#file), 0);
    } catch {
      // Nobody listens there any more.
    }
  }
}

function signal(fd: number): void {
  try {
    new EventFd(fd).signal();
  } catch {
    // It is another kind of file.
  }
}

parentPort!.on('message', (order: LyingOrder) => {
  new Liar(order).run();
  parentPort!.postMessage('done');
});
parentPort!.postMessage('ready');
