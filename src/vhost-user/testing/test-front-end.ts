import { EventFd } from '../../base/event-fd.ts';
import { EventLoop } from '../../base/event-loop.ts';
import { close, closeAll } from '../../base/fd.ts';
import { createMemfd } from '../../base/memfd.ts';
import { mmap, munmap, view } from '../../base/mmap.ts';
import { type StreamConnection, streamPair } from '../../base/unix-stream.ts';
import type { VirtioDevice } from '../../virtio/device.ts';
import {
  type MockDriver,
  MockGuest,
  type MockRequest,
  type MockResult,
  type RingFormat,
} from '../../virtio/testing/mock-guest.ts';
import { BackEnd } from '../back-end/back-end.ts';
import { MessageChannel } from '../message-channel.ts';
import { FLAG_NEED_REPLY, type Message } from '../protocol/message.ts';
import { u64 } from '../protocol/payloads.ts';
import {
  type FrontEndRequest,
  type FrontEndRequests,
  frontEndRequests,
  type PayloadOf,
  type ReplyOf,
} from '../protocol/requests.ts';

const MEMORY_SIZE = 1 << 20;
const PACKED_BIT = 1n << 34n;

/** Guest memory that can be shared: a file, and a mapping of it. */
export class SharedGuest extends MockGuest {
  readonly fd: number;

  constructor(size = MEMORY_SIZE) {
    const fd = createMemfd('test-guest', size);
    const address = mmap({ length: size, fd });
    super({ bytes: new Uint8Array(view(address, size)), address });
    this.fd = fd;
  }

  get sharedRegion() {
    return { guestAddress: this.gpa, size: this.size, userAddress: this.userAddress(this.gpa), mmapOffset: 0 };
  }

  close(): void {
    munmap(this.region.address, this.size);
    close(this.fd);
  }
}

/** A ring as the front end has it. */
export interface TestRing {
  readonly driver: MockDriver;
  readonly kick: EventFd;
  readonly call: EventFd;
  readonly error: EventFd;
}

/** A front end and the back end that it drives, on one thread. */
export class TestFrontEnd {
  readonly guest: SharedGuest;
  readonly backEnd: BackEnd;
  readonly channel: MessageChannel;
  readonly complaints: string[] = [];
  readonly #stream: StreamConnection;
  readonly #backEndChannel: MessageChannel;
  readonly #loop = new EventLoop();
  readonly #rings: TestRing[] = [];

  constructor(device: VirtioDevice, guest = new SharedGuest()) {
    this.guest = guest;
    const [a, b] = streamPair();
    this.#stream = a;
    this.channel = new MessageChannel(a, 1000);
    this.#backEndChannel = new MessageChannel(b, 1000);
    this.backEnd = new BackEnd(device, this.#backEndChannel, this.#loop, (_, line) => this.complaints.push(line));
  }

  /** Sends a request, lets the back end carry it out, and returns its answer. Throws when it says no. */
  call<K extends FrontEndRequest>(
    name: K,
    payload: PayloadOf<FrontEndRequests[K]>,
    fds: readonly number[] = [],
  ): ReplyOf<FrontEndRequests[K]> {
    const { reply } = this.exchange(name, payload, fds);
    return reply;
  }

  /** Like `call`, with what came beside the answer. */
  exchange<K extends FrontEndRequest>(name: K, payload: PayloadOf<FrontEndRequests[K]>, fds: readonly number[] = []) {
    const type = frontEndRequests[name];
    const encode = type.payload.encode as (payload: unknown) => Uint8Array;
    this.channel.send(type.id, FLAG_NEED_REPLY, encode(payload), fds);
    this.backEnd.handle(this.#backEndChannel.receive() as Message);
    const answer = this.channel.receive() as Message;
    if (type.reply !== undefined)
      return { reply: type.reply.decode(answer.payload) as ReplyOf<FrontEndRequests[K]>, fds: answer.fds };
    if (u64.decode(answer.payload) !== 0n) throw new Error(`${name} was refused`);
    return { reply: undefined as ReplyOf<FrontEndRequests[K]>, fds: answer.fds };
  }

  /** Sends any bytes, lets the back end handle the message that they are, and forgets what it answers. */
  sendRaw(bytes: Uint8Array, fds: readonly number[]): void {
    this.#stream.send(bytes, fds);
    const message = this.#backEndChannel.receive();
    if (message === undefined || message === 'incomplete') return;
    this.backEnd.handle(message);
    for (let answer = this.channel.receive(); typeof answer === 'object'; answer = this.channel.receive()) {
      closeAll(answer.fds);
    }
  }

  /** From the first message to all rings running. The driver takes all that is offered but for the ring's format. */
  start(format: RingFormat): void {
    const offered = this.call('GET_FEATURES', undefined);
    // Acknowledgements are not there before they are negotiated.
    this.negotiateProtocol();
    this.call('SET_OWNER', undefined);
    this.call('SET_FEATURES', format === 'packed' ? offered : offered & ~PACKED_BIT);
    this.call('SET_MEM_TABLE', [this.guest.sharedRegion], [this.guest.fd]);
    for (const { index, size } of this.backEnd.runner.vrings) this.startRing(index, Math.min(size, 64), format);
  }

  negotiateProtocol(): void {
    const features = this.call('GET_PROTOCOL_FEATURES', undefined);
    const { id, payload } = frontEndRequests.SET_PROTOCOL_FEATURES;
    this.channel.send(id, 0, payload.encode(features));
    this.backEnd.handle(this.#backEndChannel.receive() as Message);
  }

  startRing(index: number, size: number, format: RingFormat): void {
    const driver = this.guest.driver(format, size, { eventIdx: true, indirect: true });
    const ring = { driver, kick: EventFd.create(), call: EventFd.create(), error: EventFd.create() };
    this.#rings[index] = ring;
    driver.wantInterrupt(true);
    this.call('SET_VRING_NUM', { index, num: size });
    this.setAddresses(index);
    this.call('SET_VRING_CALL', { index, absent: false }, [ring.call.fd]);
    this.call('SET_VRING_ERR', { index, absent: false }, [ring.error.fd]);
    this.call('SET_VRING_KICK', { index, absent: false }, [ring.kick.fd]);
    this.call('SET_VRING_ENABLE', { index, num: 1 });
  }

  setAddresses(index: number): void {
    const { descriptor, driver, device } = this.#rings[index]!.driver.addresses;
    this.call('SET_VRING_ADDR', { index, flags: 0, descriptor, available: driver, used: device, log: 0 });
  }

  /** One that was started. */
  ring(index: number): TestRing {
    return this.#rings[index]!;
  }

  /** The driver kicks all rings that were started. */
  kickAll(): void {
    for (const { kick } of this.#rings) kick.signal();
  }

  /** Lets the back end do what there is to do. */
  run(): void {
    for (let i = 0; i < 20; i++) {
      this.#loop.turn(0);
      this.backEnd.runner.goOn();
    }
  }

  /** Makes a request, kicks, and returns what came back with an interrupt. */
  request(index: number, request: MockRequest): MockResult | undefined {
    const { driver, kick, call } = this.ring(index);
    driver.add(request);
    kick.signal();
    this.run();
    const interrupted = call.clear() > 0;
    const result = driver.take();
    driver.wantInterrupt(true);
    return interrupted ? result : undefined;
  }

  close(): void {
    this.channel.close();
    this.backEnd.close();
    this.#loop.close();
    for (const { kick, call, error } of this.#rings) for (const event of [kick, call, error]) event.close();
    this.guest.close();
  }
}
