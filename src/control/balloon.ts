/** The part of the control protocol that is about the memory balloon. */
import { fields, wholeNumber } from '../fields.ts';

/** `num_bytes`: what the balloon is to take of the guest's memory. */
export type BalloonCommand = { readonly Adjust: { readonly num_bytes: number } } | 'Stats';

export interface BalloonStatsAnswer {
  /** What the guest said, by names such as `free_memory`; what it did not say is not there. */
  readonly stats: Readonly<Record<string, number>>;
  /** Bytes that the balloon has taken. */
  readonly balloon_actual: number;
}

const MAX_STATS = 64;
/** Names are printed on a terminal. */
const NAME = /^[a-z][a-z_]{0,31}$/;

export function parseBalloonCommand(value: unknown): BalloonCommand {
  if (value === 'Stats') return value;
  const { num_bytes } = fields(fields(value, 'the payload')['Adjust'], 'Adjust');
  return { Adjust: { num_bytes: wholeNumber(num_bytes, 'num_bytes') } };
}

export function parseBalloonStats(value: unknown): BalloonStatsAnswer {
  const { stats, balloon_actual } = fields(value, 'the payload');
  const entries = Object.entries(fields(stats, 'stats'));
  if (entries.length > MAX_STATS || !entries.every(([name]) => NAME.test(name))) {
    throw new TypeError('stats has names that are none');
  }
  return {
    stats: Object.fromEntries(entries.map(([name, count]) => [name, wholeNumber(count, name)])),
    balloon_actual: wholeNumber(balloon_actual, 'balloon_actual'),
  };
}
