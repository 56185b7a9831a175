/** Statistics of a VM as `crosvm stats` prints them. */
import type { VmStatistics } from '../control/client.ts';
import { STATISTICS_VERSION } from '../control/statistics.ts';
import { type Counters, sumOf } from '../hypervisor/statistics.ts';

/** Words of counters' names that are written otherwise. */
const SPELLINGS: Readonly<Record<string, string>> = { tlb: 'TLB', mmio: 'MMIO', jit: 'JIT' };
const INDENT = '  ';
const GAP = '  ';

/** One line, for programs: the counters of each vCPU, and their sums as `total`. */
export function statisticsJson({ hypervisor, vcpus }: VmStatistics): string {
  const numbered = vcpus.map((counters, id) => ({ id, ...counters }));
  return `${JSON.stringify({ version: STATISTICS_VERSION, hypervisor, vcpus: numbered, total: sumOf(vcpus) })}\n`;
}

/** A line for each counter and a column for each vCPU; only the sums where more than one do not fit `width`. */
export function statisticsTable({ vcpus }: VmStatistics, width: number): string {
  const total = sumOf(vcpus);
  const sums = { title: 'all vCPUs', counters: total };
  const each = vcpus.map((counters, id) => ({ title: `vCPU ${id}`, counters }));
  const wide = render(total, each.length === 1 ? each : [...each, sums]);
  const fits = each.length === 1 || wide.every((line) => line.length <= width);
  return (fits ? wide : render(total, [sums])).map((line) => `${line}\n`).join('');
}

interface Column {
  readonly title: string;
  readonly counters: Counters;
}

interface Row {
  readonly label: string;
  /** One for each column; none for the heading of a group. */
  readonly cells: readonly string[];
}

/** `all` has every counter that some column has. */
function render(all: Counters, columns: readonly Column[]): string[] {
  const heading = { label: '', cells: columns.map(({ title }) => title) };
  const rows = [
    heading,
    ...rowsOf(
      all,
      columns.map(({ counters }) => counters),
      '',
    ),
  ];
  const labelWidth = Math.max(...rows.map(({ label }) => label.length));
  const widths = columns.map((_, i) => Math.max(...rows.map(({ cells }) => cells[i]?.length ?? 0)));
  return rows.map(({ label, cells }) =>
    [label.padEnd(labelWidth), ...cells.map((cell, i) => cell.padStart(widths[i]!))].join(GAP).trimEnd(),
  );
}

function rowsOf(all: Counters, columns: readonly (Counters | undefined)[], indent: string): Row[] {
  return Object.entries(all).flatMap(([name, value]) => {
    const label = indent + words(name);
    const values = columns.map((counters) => counters?.[name]);
    if (typeof value === 'number') return [{ label, cells: values.map(shown) }];
    const groups = values.map((group) => (typeof group === 'object' ? group : undefined));
    return [{ label, cells: [] }, ...rowsOf(value, groups, indent + INDENT)];
  });
}

/** A vCPU that has not met what another has counted none. */
function shown(value: number | Counters | undefined): string {
  return typeof value === 'number' ? value.toLocaleString('en-US') : '0';
}

/** `tlbMisses` -> `TLB misses`. Mnemonics stay as they are. */
function words(name: string): string {
  if (name.startsWith('#')) return name;
  const parts = name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`).split(' ');
  return parts.map((part) => SPELLINGS[part] ?? part).join(' ');
}
