/**
 * The loops of a region, as WebAssembly wants them: stretches of consecutive blocks, one within the other or apart. The
 * first block of each is the target of jumps back from within it.
 */

/** The blocks `first` to `last` of a region, by number. */
export interface Loop {
  readonly first: number;
  readonly last: number;
}

/** Part of a region or of a loop: a block, or a loop. */
export interface Item extends Loop {
  readonly loop?: Loop;
}

/**
 * Finds the loops, outer before inner. `jumpsBack`: for each block that is jumped back to, the last block that does so
 * (itself counts).
 */
export function findLoops(jumpsBack: ReadonlyMap<number, number>): Loop[] {
  const loops = [...jumpsBack].map(([first, last]) => ({ first, last })).sort((a, b) => a.first - b.first);
  // From the innermost out: a loop that begins in another one must end there.
  for (let i = loops.length - 1; i >= 0; i--) {
    const outer = loops[i]!;
    for (const inner of loops.slice(i + 1)) {
      if (inner.first <= outer.last) outer.last = Math.max(outer.last, inner.last);
    }
  }
  return loops;
}

/** What the blocks `first` to `last` consist of, given all loops; `within` is the loop that they are the whole of. */
export function itemsOf(loops: readonly Loop[], first: number, last: number, within?: Loop): Item[] {
  const items: Item[] = [];
  for (let block = first; block <= last; ) {
    const loop = loops.find((l) => l !== within && l.first === block && l.last <= last);
    items.push(loop === undefined ? { first: block, last: block } : { ...loop, loop });
    block = items.at(-1)!.last + 1;
  }
  return items;
}
