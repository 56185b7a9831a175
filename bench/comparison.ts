/** Measurements of two contenders that took turns, and what follows from them. */
import { geometricMean, median, spread } from './report.ts';

export interface Sample {
  readonly seconds: number;
  readonly cpuSeconds: number;
}

/** One thing that both did, several times, in turns: equal indices were neighbours in time. */
export interface Comparison {
  readonly name: string;
  readonly ours: readonly Sample[];
  readonly theirs: readonly Sample[];
  /** Shown, but not a part of the mean. */
  readonly extra?: boolean;
}

/** The median over the pairs of our number divided by theirs. */
export function timeRatio({ ours, theirs }: Comparison, key: keyof Sample): number {
  return median(ours.map((sample, i) => sample[key] / theirs[i]![key]));
}

/** How many times as fast as theirs we are, in wall time: the median over the pairs. */
export function speedRatio({ ours, theirs }: Comparison): number {
  return median(ours.map((sample, i) => theirs[i]!.seconds / sample.seconds));
}

/** The geometric mean of the speeds of all but the extra ones. */
export function meanSpeed(comparisons: readonly Comparison[]): number {
  return geometricMean(comparisons.filter(({ extra }) => extra !== true).map(speedRatio));
}

export const COMPARISON_HEADER = (ours: string, theirs: string) => [
  'work',
  `${ours}, wall s`,
  `${theirs}, wall s`,
  `${ours}, CPU s`,
  `${theirs}, CPU s`,
  'speed against it',
];

export function comparisonRow(comparison: Comparison): string[] {
  const { name, ours, theirs, extra } = comparison;
  const column = (samples: readonly Sample[], key: keyof Sample) => spread(samples.map((sample) => sample[key]));
  return [
    extra === true ? `${name} (not in the mean)` : name,
    column(ours, 'seconds'),
    column(theirs, 'seconds'),
    column(ours, 'cpuSeconds'),
    column(theirs, 'cpuSeconds'),
    speedRatio(comparison).toFixed(2),
  ];
}
