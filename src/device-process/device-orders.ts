/**
 * What a VMM tells a device process that the guest's driver does not: orders, each one JSON value in a packet, and for
 * each an answer.
 */
import { CrosvmError } from '../errors.ts';
import { BALLOON_STATS, type BalloonStats } from '../virtio/balloon/balloon-stats.ts';

/** What a device says of a failure is cut here. */
const MAX_MESSAGE = 1000;

export type DeviceOrder =
  /** Nothing; but it is answered, as soon as the device has what it needs. All devices know it. */
  | { readonly kind: 'beThere' }
  /** The disk has so many bytes from now on. */
  | { readonly kind: 'resizeDisk'; readonly size: number }
  /** The balloon is to take so many bytes. */
  | { readonly kind: 'inflateBalloon'; readonly size: number }
  | { readonly kind: 'balloonStats' }
  /** The terminal behind the first port of a console has this size, in characters. */
  | { readonly kind: 'resizeConsole'; readonly columns: number; readonly rows: number };

export type DeviceAnswer =
  | { readonly kind: 'done' }
  /** `actual`: bytes that the balloon has taken. */
  | { readonly kind: 'balloonStats'; readonly stats: BalloonStats; readonly actual: number }
  | { readonly kind: 'failed'; readonly message: string };

/** Reads an order. Throws `E_DEVICE_ORDER`. */
export function parseOrder(packet: Uint8Array): DeviceOrder {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(packet));
  } catch (error) {
    throw new CrosvmError('E_DEVICE_ORDER', 'an order to a device is not JSON', { cause: error });
  }
  const { kind, size, columns, rows } = (typeof value === 'object' ? (value ?? {}) : {}) as Record<string, unknown>;
  if (kind === 'beThere' || kind === 'balloonStats') return { kind };
  if ((kind === 'resizeDisk' || kind === 'inflateBalloon') && isCount(size)) return { kind, size };
  if (kind === 'resizeConsole' && isU16(columns) && isU16(rows)) return { kind, columns, rows };
  throw new CrosvmError('E_DEVICE_ORDER', 'an order to a device is none that there is');
}

export function encodeOrder(order: DeviceOrder): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(order));
}

/** Reads what a device says, which is trusted no more than the guest that it serves: anything strange is a failure. */
export function decodeAnswer(packet: Uint8Array): DeviceAnswer {
  try {
    const { kind, message, stats, actual } = JSON.parse(new TextDecoder().decode(packet)) as Record<string, unknown>;
    if (kind === 'done') return { kind };
    if (kind === 'failed' && typeof message === 'string') return { kind, message: message.slice(0, MAX_MESSAGE) };
    if (kind === 'balloonStats' && isCount(actual)) return { kind, stats: knownStats(stats), actual };
  } catch {
    // as any other answer that is none
  }
  return { kind: 'failed', message: 'the device gave an answer that is none' };
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isU16(value: unknown): value is number {
  return isCount(value) && value <= 0xffff;
}

function knownStats(value: unknown): BalloonStats {
  const given = (typeof value === 'object' ? (value ?? {}) : {}) as Record<string, unknown>;
  return Object.fromEntries(BALLOON_STATS.map((name) => [name, given[name]]).filter(([, count]) => isCount(count)));
}

export function encodeAnswer(answer: DeviceAnswer): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(answer));
}
