import { CrosvmError } from '../../errors.ts';
import type { SharedPiece, SharedRange } from '../../virtio/device.ts';
import type { MessageChannel } from '../message-channel.ts';
import {
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VHOST_USER_PROTOCOL_F_SHMEM,
} from '../protocol/features.ts';
import { FLAG_NEED_REPLY } from '../protocol/message.ts';
import { nothing, type SharedMapping, u64 } from '../protocol/payloads.ts';
import { backEndRequests } from '../protocol/requests.ts';
import type { FrontEndServices } from './device-runner.ts';

/** What a back end asks of its front end, over the connection that this has given it. */
export class BackEndChannel implements FrontEndServices {
  readonly #has: (protocolFeature: number) => boolean;
  #channel: MessageChannel | undefined;

  /** `has`: whether a protocol feature was negotiated. */
  constructor(has: (protocolFeature: number) => boolean) {
    this.#has = has;
  }

  /** The channel becomes this object's. */
  open(channel: MessageChannel): void {
    this.close();
    this.#channel = channel;
  }

  close(): void {
    this.#channel?.close();
    this.#channel = undefined;
  }

  configChanged(): void {
    if (!this.#has(VHOST_USER_PROTOCOL_F_CONFIG)) return;
    this.#channel?.send(backEndRequests.CONFIG_CHANGE_MSG.id, 0, nothing.encode());
  }

  /** Without answers we could not tell the driver whether a mapping is there. */
  get hasSharedMemory(): boolean {
    const isAgreed = this.#has(VHOST_USER_PROTOCOL_F_SHMEM) && this.#has(VHOST_USER_PROTOCOL_F_REPLY_ACK);
    return isAgreed && this.#channel !== undefined;
  }

  mapShared({ fd, ...mapping }: SharedPiece): void {
    this.#change('SHMEM_MAP', mapping, [fd]);
  }

  unmapShared({ id, offset, length }: SharedRange): void {
    this.#change('SHMEM_UNMAP', { id, offset, length, fdOffset: 0, writable: false });
  }

  #change(name: 'SHMEM_MAP' | 'SHMEM_UNMAP', mapping: SharedMapping, fds: readonly number[] = []): void {
    const channel = this.#channel;
    const { id, payload } = backEndRequests[name];
    if (channel === undefined || !this.hasSharedMemory) throw refused('there is no shared memory');
    channel.send(id, FLAG_NEED_REPLY, payload.encode(mapping), fds);
    const answer = channel.receiveNext();
    if (answer === undefined || answer.request !== id || !answer.reply || answer.fds.length > 0) {
      throw refused(`the front end answered ${name} with something else`);
    }
    if (u64.decode(answer.payload) !== 0n) throw refused(`the front end refused ${name}`);
  }
}

function refused(why: string): CrosvmError {
  return new CrosvmError('E_SHARED_MEMORY', `vhost-user: ${why}`);
}
