/** Tables of measurements. */
import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Of positive numbers. */
export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

/** `median (min-max)` with a fixed number of decimals. */
export function spread(values: readonly number[], decimals = 2): string {
  const format = (value: number) => value.toFixed(decimals);
  return `${format(median(values))} (${format(Math.min(...values))}-${format(Math.max(...values))})`;
}

/** A Markdown table. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]) => `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |\n`;
  const rule = line(widths.map((width) => '-'.repeat(width)));
  return line(header) + rule + rows.map(line).join('');
}

/** One line that says on what was measured. */
export function machineLine(): string {
  const model = cpus()[0]?.model ?? 'unknown processor';
  const memory = (totalmem() / 2 ** 30).toFixed(1);
  const load = loadavg()[0]!.toFixed(1);
  return `${cpus().length} x ${model}, ${memory} GiB, ${system()} (Linux ${release()}), Node ${process.version}; load at the start ${load}`;
}

function system(): string {
  try {
    return /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'Linux';
  } catch {
    return 'Linux';
  }
}
