/** The part of the control protocol that is about statistics: one request, and its answer. */

import { fields, wholeNumber } from '../fields.ts';
import type { HypervisorKind } from '../hypervisor/hypervisor.ts';
import type { Counters } from '../hypervisor/statistics.ts';

export interface StatisticsRequest {
  /** The number of the vCPU to begin with. */
  readonly first: number;
}

/** Changes when it would mislead a reader of the old form; more counters alone do not. */
export const STATISTICS_VERSION = 1;

export interface StatisticsAnswer {
  readonly version: typeof STATISTICS_VERSION;
  readonly hypervisor: HypervisorKind;
  /** How many vCPUs the VM has. */
  readonly cpus: number;
  /** Counters of vCPUs from `first` on: at most VCPUS_PER_ANSWER of them, none behind the last. */
  readonly vcpus: readonly Counters[];
}

/** Of these the answer fits one message with room to spare. */
export const VCPUS_PER_ANSWER = 16;

const MAX_CPUS = 0x1_0000;
const MAX_GROUPS = 4;
/** Names are printed on a terminal. */
const NAME = /^[#A-Za-z][A-Za-z0-9]{0,31}$/;

/** Throws a `TypeError` that says what is wrong. */
export function parseStatisticsRequest(value: unknown): StatisticsRequest {
  return { first: wholeNumber(fields(value, 'the payload')['first'], 'first', MAX_CPUS) };
}

/** Throws a `TypeError` that says what is wrong. */
export function parseStatisticsAnswer(value: unknown): StatisticsAnswer {
  const { version, hypervisor, cpus, vcpus } = fields(value, 'the payload');
  if (version !== STATISTICS_VERSION) throw new TypeError(`the version is not ${STATISTICS_VERSION}`);
  if (hypervisor !== 'kvm' && hypervisor !== 'soft') throw new TypeError('the hypervisor is neither kvm nor soft');
  if (!Array.isArray(vcpus) || vcpus.length > VCPUS_PER_ANSWER) throw new TypeError('vcpus is no list of vCPUs');
  return {
    version,
    hypervisor,
    cpus: wholeNumber(cpus, 'cpus', MAX_CPUS),
    vcpus: vcpus.map((counters) => parseCounters(counters, MAX_GROUPS)),
  };
}

function parseCounters(value: unknown, depth: number): Counters {
  const checked = Object.entries(fields(value, 'a group of counters')).map(([name, counter]) => {
    if (!NAME.test(name)) throw new TypeError('a counter has no name');
    if (typeof counter !== 'number') {
      if (depth === 0) throw new TypeError('groups of counters are nested too deep');
      return [name, parseCounters(counter, depth - 1)] as const;
    }
    if (!(counter >= 0 && counter <= Number.MAX_VALUE)) throw new TypeError(`${name} is not a count`);
    return [name, counter] as const;
  });
  return Object.fromEntries(checked);
}
