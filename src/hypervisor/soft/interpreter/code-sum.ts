/** Checksums of code: whether bytes that code was decoded from are still the same. */
import { AREA, CODE_SUM_ENTRIES, CODE_SUM_ENTRY, CODE_SUM_ENTRY_SIZE } from '../layout.ts';
import { I32, I64 } from '../wasm/expr.ts';
import type { Callable, FunctionBuilder } from '../wasm/function-builder.ts';
import type { ModuleBuilder } from '../wasm/module-builder.ts';

const PIECE = 64;
/** 2^64 divided by the golden ratio: spreads every bit upwards. */
const MULTIPLIER = 0x9e37_79b9_7f4a_7c15n;

/**
 * (host, low, high) -> a sum of those 64-byte pieces of the page at `host` whose bits are set in `low` (pieces 0-31) and
 * `high`. The sum of several pieces is the exclusive or of their own.
 */
export function defineCodeSum(m: ModuleBuilder): Callable {
  return m.func(
    ['i32', 'i32', 'i32'],
    ['i32'],
    (f, host, low, high) => {
      const rest = f.let(low.toI64().and(0xffff_ffff).or(high.toI64().shl(32)));
      const sum = f.let(I32.const(0));
      f.block((done) =>
        f.loop((again) => {
          f.brIf(done, rest.eqz());
          const piece = f.let(rest.ctz());
          const at = f.let(piece.wrap().mul(PIECE).add(host));
          const hash = f.let(piece.add(1));
          for (let offset = 0; offset < PIECE; offset += 8) {
            f.set(
              hash,
              hash
                .xor(f.load64(at, offset))
                .mul(I64.const(BigInt.asIntN(64, MULTIPLIER)))
                .rotl(31),
            );
          }
          f.set(sum, sum.xor(hash.xor(hash.shrU(32)).wrap()));
          f.set(rest, rest.and(rest.sub(1)));
          f.br(again);
        }),
      );
      f.return(sum);
    },
    'codeSum',
  );
}

/** Whether the code of page `page`, at `host`, is as it was when TypeScript looked last (code-sums.ts). */
export function isCodeCurrent(f: FunctionBuilder, codeSum: Callable, base: I32, page: I32, host: I32): I32 {
  const entry = f.let(
    page
      .and(CODE_SUM_ENTRIES - 1)
      .mul(CODE_SUM_ENTRY_SIZE)
      .add(base)
      .add(AREA.codeSums),
  );
  const pieces = [f.load32(entry, CODE_SUM_ENTRY.low), f.load32(entry, CODE_SUM_ENTRY.high)] as const;
  const sum = f.call(codeSum, 'i32', host, ...pieces);
  return f
    .load32(entry, CODE_SUM_ENTRY.page)
    .eq(page)
    .and(sum.eq(f.load32(entry, CODE_SUM_ENTRY.sum)));
}
