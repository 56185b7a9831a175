/**
 * All requests of the protocol in two tables: what each carries, what answers it, and what it depends on. Both ends
 * work from these tables, so a message is checked against its row before anybody acts on it.
 */
import {
  VHOST_USER_PROTOCOL_F_BACKEND_REQ,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
  VHOST_USER_PROTOCOL_F_DEVICE_STATE,
  VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD,
  VHOST_USER_PROTOCOL_F_MQ,
  VHOST_USER_PROTOCOL_F_MTU,
  VHOST_USER_PROTOCOL_F_RESET_DEVICE,
  VHOST_USER_PROTOCOL_F_SHMEM,
  VHOST_USER_PROTOCOL_F_STATUS,
} from './features.ts';
import { MAX_MESSAGE_DESCRIPTORS } from './message.ts';
import {
  config,
  configReply,
  deviceState,
  inflight,
  memoryRegion,
  memoryTable,
  nothing,
  type PayloadCodec,
  sharedMapping,
  sharedMemorySizes,
  u64,
  vringAddress,
  vringDescriptor,
  vringState,
} from './payloads.ts';

/** One kind of request. `Reply` is undefined where none is defined; REPLY_ACK then adds a u64, 0 for success. */
export interface RequestType<Payload, Reply> {
  readonly id: number;
  readonly payload: PayloadCodec<Payload>;
  readonly reply: PayloadCodec<Reply> | undefined;
  /** The most descriptors that come beside it. */
  readonly maxFds: number;
  /** The most descriptors that come beside its reply. */
  readonly maxReplyFds: number;
  /** The protocol feature that must be negotiated before it is sent. */
  readonly feature: number | undefined;
}

export type PayloadOf<T> = T extends { readonly payload: PayloadCodec<infer P> } ? P : never;
export type ReplyOf<T> = T extends { readonly reply: PayloadCodec<infer R> } ? R : undefined;

interface Conditions {
  readonly fds?: number;
  readonly replyFds?: number;
  readonly feature?: number;
}

/** A request that nothing but an acknowledgement answers. */
function send<P>(id: number, payload: PayloadCodec<P>, { fds = 0, replyFds = 0, feature }: Conditions = {}) {
  return { id, payload, reply: undefined, maxFds: fds, maxReplyFds: replyFds, feature };
}

/** A request with an answer of its own. */
function ask<P, R>(id: number, payload: PayloadCodec<P>, reply: PayloadCodec<R>, conditions: Conditions = {}) {
  return { ...send(id, payload, conditions), reply };
}

/** What the front end asks of the back end. */
export const frontEndRequests = {
  GET_FEATURES: ask(1, nothing, u64),
  SET_FEATURES: send(2, u64),
  SET_OWNER: send(3, nothing),
  RESET_OWNER: send(4, nothing),
  SET_MEM_TABLE: send(5, memoryTable, { fds: MAX_MESSAGE_DESCRIPTORS }),
  SET_VRING_NUM: send(8, vringState),
  SET_VRING_ADDR: send(9, vringAddress),
  SET_VRING_BASE: send(10, vringState),
  GET_VRING_BASE: ask(11, vringState, vringState),
  SET_VRING_KICK: send(12, vringDescriptor, { fds: 1 }),
  SET_VRING_CALL: send(13, vringDescriptor, { fds: 1 }),
  SET_VRING_ERR: send(14, vringDescriptor, { fds: 1 }),
  GET_PROTOCOL_FEATURES: ask(15, nothing, u64),
  SET_PROTOCOL_FEATURES: send(16, u64),
  GET_QUEUE_NUM: ask(17, nothing, u64, { feature: VHOST_USER_PROTOCOL_F_MQ }),
  SET_VRING_ENABLE: send(18, vringState),
  NET_SET_MTU: send(20, u64, { feature: VHOST_USER_PROTOCOL_F_MTU }),
  SET_BACKEND_REQ_FD: send(21, nothing, { fds: 1, feature: VHOST_USER_PROTOCOL_F_BACKEND_REQ }),
  GET_CONFIG: ask(24, config, configReply, { feature: VHOST_USER_PROTOCOL_F_CONFIG }),
  SET_CONFIG: send(25, config, { feature: VHOST_USER_PROTOCOL_F_CONFIG }),
  /** The answer brings the descriptor of the area. */
  GET_INFLIGHT_FD: ask(31, inflight, inflight, { replyFds: 1, feature: VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD }),
  SET_INFLIGHT_FD: send(32, inflight, { fds: 1, feature: VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD }),
  RESET_DEVICE: send(34, nothing, { feature: VHOST_USER_PROTOCOL_F_RESET_DEVICE }),
  GET_MAX_MEM_SLOTS: ask(36, nothing, u64, { feature: VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS }),
  ADD_MEM_REG: send(37, memoryRegion, { fds: 1, feature: VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS }),
  /** Some front ends send the region's descriptor again; it counts for nothing. */
  REM_MEM_REG: send(38, memoryRegion, { fds: 1, feature: VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS }),
  SET_STATUS: send(39, u64, { feature: VHOST_USER_PROTOCOL_F_STATUS }),
  GET_STATUS: ask(40, nothing, u64, { feature: VHOST_USER_PROTOCOL_F_STATUS }),
  /** The answer is 0 for success; with bit 8 set no descriptor comes beside it. */
  SET_DEVICE_STATE_FD: ask(42, deviceState, u64, { fds: 1, replyFds: 1, feature: VHOST_USER_PROTOCOL_F_DEVICE_STATE }),
  CHECK_DEVICE_STATE: ask(43, nothing, u64, { feature: VHOST_USER_PROTOCOL_F_DEVICE_STATE }),
  GET_SHMEM_CONFIG: ask(44, nothing, sharedMemorySizes, { feature: VHOST_USER_PROTOCOL_F_SHMEM }),
} as const;

/** What the back end asks of the front end, on the connection of SET_BACKEND_REQ_FD. */
export const backEndRequests = {
  CONFIG_CHANGE_MSG: send(2, nothing, { feature: VHOST_USER_PROTOCOL_F_CONFIG }),
  /** The part of the shared memory must be free. (Ours may also take the place of just what another one has mapped.) */
  SHMEM_MAP: send(9, sharedMapping, { fds: 1, feature: VHOST_USER_PROTOCOL_F_SHMEM }),
  /** Of all that one SHMEM_MAP has mapped. */
  SHMEM_UNMAP: send(10, sharedMapping, { feature: VHOST_USER_PROTOCOL_F_SHMEM }),
} as const;

export type FrontEndRequests = typeof frontEndRequests;
export type FrontEndRequest = keyof FrontEndRequests;
export type BackEndRequests = typeof backEndRequests;
export type BackEndRequest = keyof BackEndRequests;

/** The names of a table's requests, by number. */
function namesById<Name extends string>(table: Record<Name, { readonly id: number }>): ReadonlyMap<number, Name> {
  return new Map(Object.entries<{ readonly id: number }>(table).map(([name, { id }]) => [id, name as Name]));
}

export const frontEndRequestNames = namesById(frontEndRequests);
export const backEndRequestNames = namesById(backEndRequests);
