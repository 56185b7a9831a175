import { connectPacket, type PacketConnection } from '../base/unix-socket.ts';
import { CrosvmError } from '../errors.ts';
import type { HypervisorKind } from '../hypervisor/hypervisor.ts';
import type { Counters } from '../hypervisor/statistics.ts';
import type { BalloonStatsAnswer } from './balloon.ts';
import { decodeResponse, encodeRequest } from './codec.ts';
import type { VmRequest, VmResponse } from './messages.ts';

const ANSWER_TIMEOUT_MS = 10_000;

/** What all vCPUs of a VM have done, in the order of their numbers. */
export interface VmStatistics {
  readonly hypervisor: HypervisorKind;
  readonly vcpus: readonly Counters[];
}

/** Requests that are answered with nothing but that they were carried out. */
export type PlainRequest = Exclude<VmRequest, { readonly name: 'Stats' }>;

/**
 * Has the VM whose control socket is at `path` do something, and waits, blocking, for its answer. Throws
 * `E_SOCKET_CONNECT`, `E_SOCKET_TIMEOUT`, or `E_CONTROL` with the reason if the VM refuses.
 */
export function command(path: string, request: PlainRequest): void {
  withConnection(path, (ask) => {
    if (ask(request) !== 'Ok') throw unexpected(path);
  });
}

/** Asks, blocking, what the guest says of its memory. Throws like `command`. */
export function readBalloonStats(path: string): BalloonStatsAnswer {
  return withConnection(path, (ask) => {
    const response = ask({ name: 'BalloonCommand', payload: 'Stats' });
    if (response === 'Ok' || !('BalloonStats' in response)) throw unexpected(path);
    return response.BalloonStats;
  });
}

/** Asks the VM whose control socket is at `path`, blocking, what its vCPUs have done. Throws like `command`. */
export function readStatistics(path: string): VmStatistics {
  return withConnection(path, (ask) => {
    const vcpus: Counters[] = [];
    for (;;) {
      const response = ask({ name: 'Stats', payload: { first: vcpus.length } });
      if (response === 'Ok' || !('Stats' in response)) throw unexpected(path);
      const { hypervisor, cpus, vcpus: more } = response.Stats;
      vcpus.push(...more);
      if (vcpus.length >= cpus || more.length === 0) return { hypervisor, vcpus };
    }
  });
}

type Answer = Exclude<VmResponse, { readonly Err: string }>;

function withConnection<T>(path: string, talk: (ask: (request: VmRequest) => Answer) => T): T {
  const connection = connectPacket(path);
  try {
    return talk((request) => ask(path, connection, request));
  } finally {
    connection.close();
  }
}

function ask(path: string, connection: PacketConnection, request: VmRequest): Answer {
  connection.send(encodeRequest(request));
  const packet = connection.receive(ANSWER_TIMEOUT_MS);
  if (packet === undefined) throw new CrosvmError('E_CONTROL', `the VM at ${path} closed the connection`);
  const response = decodeResponse(packet);
  if (response === 'Ok' || !('Err' in response)) return response;
  throw new CrosvmError('E_CONTROL', `the VM at ${path} refused: ${response.Err}`);
}

function unexpected(path: string): CrosvmError {
  return new CrosvmError('E_CONTROL', `the VM at ${path} answered something else than it was asked`);
}
