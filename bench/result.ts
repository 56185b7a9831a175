/** How a benchmark hands over what it has found: a table for people, or JSON for `bench/all.ts` and other programs. */
import type { Comparison } from './comparison.ts';
import { GOALS, type Goal, type GoalName, type Verdict, verdict } from './goals.ts';
import { table } from './report.ts';

/** A measured number beside what it is to be. */
export interface Finding extends Goal {
  readonly goal: GoalName;
  readonly value: number;
  readonly verdict: Verdict;
}

export interface Result {
  /** On what it was measured. */
  readonly machine: string;
  readonly findings: readonly Finding[];
  /** Everything that was measured, for those who want more than medians. */
  readonly comparisons: readonly Comparison[];
}

export function finding(goal: GoalName, value: number): Finding {
  return { goal, value, ...GOALS[goal], verdict: verdict(GOALS[goal], value) };
}

const UNITS = {
  time: ' x its time',
  speed: ' x its speed',
  count: '',
  descriptors: '',
  megabytes: ' MB',
  milliseconds: ' ms',
} as const;

export function findingsTable(findings: readonly Finding[]): string {
  const rows = findings.map(({ what, measure, value, floor, aim, verdict: judged }) => [
    what,
    `${measure === 'count' || measure === 'descriptors' ? value : value.toFixed(2)}${UNITS[measure]}`,
    `${floor}${UNITS[measure]}`,
    `${aim}${UNITS[measure]}`,
    judged,
  ]);
  return table(['what', 'measured', 'at least', 'aim', 'verdict'], rows);
}

/** Prints the result: with `json` as one line of JSON, otherwise as tables below the line about the machine. */
export function printResult(result: Result, json: boolean, tables: readonly string[]): void {
  if (json) console.log(JSON.stringify(result));
  else console.log([`${result.machine}\n`, ...tables, findingsTable(result.findings)].join('\n'));
}
