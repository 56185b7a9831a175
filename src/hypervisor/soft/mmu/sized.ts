/** Loads and stores of an operand's size. */
import type { Size } from '../semantics/flags.ts';
import type { I32, I64, V128 } from '../wasm/expr.ts';
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

/** A load of 4 or 8 bytes to the low end of a vector, with zeros above. */
export function loadLow(f: FunctionBuilder, address: I32, size: 4 | 8): V128 {
  return size === 4 ? f.load32zero(address) : f.load64zero(address);
}

/** A store of the low 4 or 8 bytes of a vector. */
export function storeLow(f: FunctionBuilder, address: I32, size: 4 | 8, value: V128): void {
  if (size === 4) f.store32low(address, 0, value);
  else f.store64low(address, 0, value);
}
