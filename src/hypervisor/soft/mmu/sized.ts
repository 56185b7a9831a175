/** Loads and stores of an operand's size. */
import type { Size } from '../semantics/flags.ts';
import type { I32, I64 } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function-builder.ts';

/** A load of `size` bytes, zero-extended. */
export function loadSized(f: FunctionBuilder, address: I32, size: Size, offset = 0): I64 {
  if (size === 1) return f.load8u64(address, offset);
  if (size === 2) return f.load16u64(address, offset);
  return size === 4 ? f.load32u64(address, offset) : f.load64(address, offset);
}

/** A store of the low `size` bytes. */
export function storeSized(f: FunctionBuilder, address: I32, size: Size, value: I64, offset = 0): void {
  if (size === 1) f.store8of64(address, offset, value);
  else if (size === 2) f.store16of64(address, offset, value);
  else if (size === 4) f.store32of64(address, offset, value);
  else f.store64(address, offset, value);
}
