import type { EventLoop } from '../../base/event-loop.ts';
import { close, closeAll } from '../../base/fd.ts';
import { StreamConnection } from '../../base/unix-stream.ts';
import { CrosvmError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { VirtioDevice } from '../../virtio/device.ts';
import { type FeatureSet, featureSet, hasFeature } from '../../virtio/features.ts';
import { MessageChannel } from '../message-channel.ts';
import {
  VHOST_USER_F_PROTOCOL_FEATURES,
  VHOST_USER_PROTOCOL_F_BACKEND_REQ,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
  VHOST_USER_PROTOCOL_F_DEVICE_STATE,
  VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD,
  VHOST_USER_PROTOCOL_F_MQ,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VHOST_USER_PROTOCOL_F_RESET_DEVICE,
  VHOST_USER_PROTOCOL_F_SHMEM,
  VHOST_USER_PROTOCOL_F_STATUS,
} from '../protocol/features.ts';
import { FLAG_REPLY, type Message, protocolError } from '../protocol/message.ts';
import { type ConfigAccess, u64, type VringDescriptor } from '../protocol/payloads.ts';
import {
  type FrontEndRequest,
  type FrontEndRequests,
  frontEndRequestNames,
  frontEndRequests,
  type PayloadOf,
  type ReplyOf,
  type RequestType,
} from '../protocol/requests.ts';
import { BackEndChannel } from './back-end-channel.ts';
import { DeviceRunner } from './device-runner.ts';
import { DeviceStateRequests } from './device-state-requests.ts';
import { MAX_MEM_SLOTS } from './guest-memory-map.ts';
import { InflightMemory } from './inflight-area.ts';
import type { Vring, VringEvent } from './vring.ts';

/** How long a front end may take to read an answer, or to send the rest of a message; in milliseconds. */
export const FRONT_END_TIMEOUT = 10_000;

/** The most bytes of a configuration space (virtio-pci has 4096 of room for it; no device has more than some hundred). */
const MAX_CONFIG = 1024;

const F_PROTOCOL_FEATURES = featureSet(VHOST_USER_F_PROTOCOL_FEATURES);

const PROTOCOL_FEATURES = featureSet(
  VHOST_USER_PROTOCOL_F_MQ,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VHOST_USER_PROTOCOL_F_BACKEND_REQ,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD,
  VHOST_USER_PROTOCOL_F_RESET_DEVICE,
  VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
  VHOST_USER_PROTOCOL_F_STATUS,
  VHOST_USER_PROTOCOL_F_DEVICE_STATE,
);

const SHARED_MEMORY = featureSet(VHOST_USER_PROTOCOL_F_SHMEM);

/** What is done for each request. Descriptors that come with one are the handler's. */
type Handlers = {
  readonly [K in FrontEndRequest]?: (
    payload: PayloadOf<FrontEndRequests[K]>,
    fds: readonly number[],
  ) => FrontEndRequests[K] extends { readonly reply: undefined } ? void : ReplyOf<FrontEndRequests[K]>;
};

/** One front end's connection to a device: carries out its messages. */
export class BackEnd {
  readonly runner: DeviceRunner;
  readonly #channel: MessageChannel;
  /** Where we ask things of the front end. */
  readonly #requests: BackEndChannel;
  #protocolFeatures = 0n;
  #acknowledged = 0n;
  readonly #state: DeviceStateRequests;
  /** A descriptor that goes with the next reply. */
  #replyFd: number | undefined;

  constructor(device: VirtioDevice, channel: MessageChannel, loop: EventLoop, log: Log) {
    this.#channel = channel;
    this.#requests = new BackEndChannel((feature) => this.#has(feature));
    this.runner = new DeviceRunner(device, loop, log, this.#requests);
    this.#state = new DeviceStateRequests(this.runner, loop, log);
  }

  /**
   * Carries out a message and answers it. Throws a `CrosvmError` when the front end has broken the rules and did not
   * ask to be told; nothing can be done with the connection then.
   */
  handle(message: Message): void {
    const { fds, request } = message;
    const name = frontEndRequestNames.get(request);
    if (name === undefined) {
      closeAll(fds);
      this.#fail(message, protocolError(`message ${request} is none that this device knows`));
      return;
    }
    const type: RequestType<unknown, unknown> = frontEndRequests[name];
    let reply: unknown;
    try {
      reply = this.#execute(name, type, message);
    } catch (error) {
      if (!(error instanceof CrosvmError)) throw error;
      if (type.reply !== undefined) throw error;
      this.#fail(message, error);
      return;
    }
    if (type.reply !== undefined) this.#reply(request, type.reply.encode(reply));
    else if (this.#wantsAcknowledgement(message)) this.#reply(request, u64.encode(0n));
  }

  /** Gives everything of the front end back. */
  close(): void {
    this.#requests.close();
    this.#state.end();
    this.runner.release();
    this.#channel.close();
  }

  #execute(name: FrontEndRequest, type: RequestType<unknown, unknown>, { fds, payload, reply }: Message): unknown {
    const handler = this.#handlers[name] as ((payload: unknown, fds: readonly number[]) => unknown) | undefined;
    let value: unknown;
    try {
      if (reply) throw protocolError(`a reply, ${name}, which nobody asked for`);
      if (handler === undefined || !this.#has(type.feature)) throw protocolError(`${name} was not negotiated`);
      if (fds.length > type.maxFds) throw protocolError(`${name} came with ${fds.length} descriptors`);
      value = type.payload.decode(payload);
    } catch (error) {
      closeAll(fds);
      throw error;
    }
    return handler(value, fds);
  }

  get #offeredProtocol(): FeatureSet {
    const { sharedMemory } = this.runner.device;
    return sharedMemory === undefined ? PROTOCOL_FEATURES : PROTOCOL_FEATURES | SHARED_MEMORY;
  }

  #has(feature: number | undefined): boolean {
    return feature === undefined || hasFeature(this.#protocolFeatures, feature);
  }

  #wantsAcknowledgement({ needReply }: Message): boolean {
    return needReply && this.#has(VHOST_USER_PROTOCOL_F_REPLY_ACK);
  }

  #fail(message: Message, error: CrosvmError): void {
    if (!this.#wantsAcknowledgement(message)) throw error;
    this.#reply(message.request, u64.encode(1n));
  }

  #reply(request: number, payload: Uint8Array): void {
    const fd = this.#replyFd;
    this.#replyFd = undefined;
    try {
      this.#channel.send(request, FLAG_REPLY, payload, fd === undefined ? [] : [fd]);
    } finally {
      if (fd !== undefined) close(fd);
    }
  }

  readonly #handlers: Handlers = {
    GET_FEATURES: () => this.runner.offered | F_PROTOCOL_FEATURES,
    SET_FEATURES: (features) => this.#setFeatures(features),
    SET_OWNER: () => {},
    // It once meant more; what front ends want of it is that all rings are off.
    RESET_OWNER: () => this.#enableAll(false),
    SET_MEM_TABLE: (regions, fds) => this.runner.changeMemory(() => this.runner.map.set(regions, fds)),
    SET_VRING_NUM: ({ index, num }) => this.#vring(index).setSize(num),
    SET_VRING_ADDR: ({ index, descriptor, available, used }) => {
      this.#vring(index).setAddresses({ descriptor, driver: available, device: used });
      this.runner.update(this.#vring(index));
    },
    SET_VRING_BASE: ({ index, num }) => this.#vring(index).setBase(num),
    GET_VRING_BASE: ({ index }) => ({ index, num: this.runner.stop(this.#vring(index)) }),
    SET_VRING_KICK: (which, fds) => this.#setEvent('kick', which, fds),
    SET_VRING_CALL: (which, fds) => this.#setEvent('call', which, fds),
    SET_VRING_ERR: (which, fds) => this.#setEvent('error', which, fds),
    GET_PROTOCOL_FEATURES: () => this.#offeredProtocol,
    SET_PROTOCOL_FEATURES: (features) => {
      mustBeOffered(features, this.#offeredProtocol, 'protocol features');
      this.#protocolFeatures = features;
    },
    GET_QUEUE_NUM: () => BigInt(this.runner.vrings.length),
    SET_VRING_ENABLE: ({ index, num }) => {
      if (num > 1) throw protocolError(`ring ${index} is to be enabled by ${num}`);
      const vring = this.#vring(index);
      vring.enabled = num === 1;
      this.runner.update(vring);
    },
    SET_BACKEND_REQ_FD: (_, fds) => {
      if (fds.length !== 1) throw protocolError('a connection for requests came without a descriptor');
      this.#requests.open(new MessageChannel(new StreamConnection(fds[0]!), FRONT_END_TIMEOUT));
    },
    GET_CONFIG: (access) => this.#readConfig(access),
    SET_CONFIG: ({ offset, bytes }) => {
      const { device } = this.runner;
      if (offset + bytes.length > device.config.length) throw protocolError('a write beyond the configuration space');
      device.configWritten?.(offset, bytes);
    },
    GET_INFLIGHT_FD: ({ numQueues, queueSize }) => this.#makeInflight(numQueues, queueSize),
    SET_INFLIGHT_FD: (area, fds) => this.#useInflight(() => InflightMemory.open(area, fds), fds),
    RESET_DEVICE: () => {
      this.runner.reset();
      // The next driver may accept the same, of which the device has to hear again.
      this.#acknowledged = 0n;
    },
    GET_MAX_MEM_SLOTS: () => BigInt(MAX_MEM_SLOTS),
    ADD_MEM_REG: (region, fds) => {
      if (fds.length !== 1) throw protocolError('a region of memory came without a descriptor');
      this.runner.changeMemory(() => this.runner.map.add(region, fds[0]!));
    },
    REM_MEM_REG: (region, fds) => {
      closeAll(fds);
      this.runner.changeMemory(() => this.runner.map.remove(region));
    },
    SET_STATUS: (status) => {
      if (status > 0xffn) throw protocolError(`0x${status.toString(16)} is no device status`);
      this.runner.status = Number(status);
    },
    GET_STATUS: () => BigInt(this.runner.status),
    GET_SHMEM_CONFIG: () => this.runner.device.sharedMemory ?? [],
    SET_DEVICE_STATE_FD: (transfer, fds) => this.#state.start(transfer, fds),
    CHECK_DEVICE_STATE: () => this.#state.check(),
  };

  #setFeatures(features: bigint): void {
    mustBeOffered(features, this.runner.offered | F_PROTOCOL_FEATURES, 'features');
    if (features === this.#acknowledged) return;
    if (this.runner.isRunning) throw protocolError('the features may not change while a ring runs');
    this.#acknowledged = features;
    this.runner.negotiate(features & ~F_PROTOCOL_FEATURES);
    // Such a front end does not know how to enable rings.
    if ((features & F_PROTOCOL_FEATURES) === 0n) this.#enableAll(true);
  }

  #enableAll(on: boolean): void {
    for (const vring of this.runner.vrings) {
      vring.enabled = on;
      this.runner.update(vring);
    }
  }

  #setEvent(name: VringEvent, { index, absent }: VringDescriptor, fds: readonly number[]): void {
    try {
      if (fds.length !== (absent ? 0 : 1))
        throw protocolError(`an eventfd of ring ${index} is missing or one too many`);
      if (name === 'kick' && absent) throw protocolError('rings are not polled; they need an eventfd for kicks');
    } catch (error) {
      closeAll(fds);
      throw error;
    }
    const vring = this.#vring(index, fds);
    this.runner.setEvent(vring, name, fds[0]);
    if (name === 'kick') this.runner.update(vring);
  }

  /** Closes `fds` when there is no such ring. */
  #vring(index: number, fds: readonly number[] = []): Vring {
    const vring = this.runner.vrings[index];
    if (vring !== undefined) return vring;
    closeAll(fds);
    throw protocolError(`ring ${index} is none of the ${this.runner.vrings.length} of this device`);
  }

  /** Bytes beyond the configuration space are zeroes: a front end may know of more fields than the device has. */
  #readConfig({ offset, flags, bytes }: ConfigAccess): ConfigAccess | undefined {
    if (offset + bytes.length > MAX_CONFIG) return undefined;
    const { config } = this.runner.device;
    const read = new Uint8Array(bytes.length);
    read.set(config.subarray(offset, offset + bytes.length));
    return { offset, flags, bytes: read };
  }

  #makeInflight(numQueues: number, queueSize: number) {
    const { vrings } = this.runner;
    const largest = Math.max(...this.runner.device.queueSizes);
    if (numQueues < 1 || numQueues > vrings.length || queueSize < 1 || queueSize > largest) {
      throw protocolError(`an in-flight area for ${numQueues} queues of ${queueSize} is not for this device`);
    }
    this.#useInflight(() => {
      const { memory, fd } = InflightMemory.create(numQueues, queueSize);
      this.#replyFd = fd;
      return memory;
    });
    return this.runner.inflight!.area;
  }

  #useInflight(make: () => InflightMemory, fds: readonly number[] = []): void {
    if (this.runner.isRunning) {
      closeAll(fds);
      throw protocolError('the in-flight area may not change while a ring runs');
    }
    const made = make();
    this.runner.inflight?.close();
    this.runner.inflight = made;
  }
}

function mustBeOffered(wanted: bigint, offered: bigint, what: string): void {
  const other = wanted & ~offered;
  if (other !== 0n) throw protocolError(`the ${what} 0x${other.toString(16)} were not offered`);
}
