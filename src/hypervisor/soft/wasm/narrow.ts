/**
 * 64-bit values of which the compiler knows that they have no more than some low bits: guest code is full of 32-bit
 * arithmetic, whose results are zero-extended. Here it becomes 32-bit instructions, and no value is masked twice.
 */
import { type Expr, I32, type I64 } from './expr.ts';

/** From an i64 instruction to the i32 one of the same name, for those whose low half depends on low halves only. */
const TO_I32 = -0x12;
const [CONST, LOCAL, SELECT, EXTEND] = [0x42, 0x20, 0x1b, 0xad];
const [ADD, SUB, MUL, AND, OR, XOR, SHL, SHR_U] = [0x7c, 0x7d, 0x7e, 0x83, 0x84, 0x85, 0x86, 0x88];
const [LOAD8_U, LOAD16_U, LOAD32_U, LOAD] = [0x31, 0x33, 0x35, 0x28];

/** How many low bits may be other than 0. */
export function significantBits(value: I64): number {
  const { args } = value;
  const arg = (i: number) => significantBits(args[i] as I64);
  switch (value.code[0]) {
    case LOCAL:
      return (value as { bits?: number }).bits ?? 64;
    case CONST:
      return bitsOfConstant(constantOf(value)!);
    case EXTEND:
    case LOAD32_U:
      return 32;
    case LOAD16_U:
      return 16;
    case LOAD8_U:
      return 8;
    case AND:
      return Math.min(arg(0), arg(1));
    case OR:
    case XOR:
    case SELECT:
      return Math.max(arg(0), arg(1));
    case SHR_U:
      return Math.max(0, arg(0) - (shiftOf(args[1] as I64) ?? 0));
    case SHL:
      return Math.min(64, arg(0) + (shiftOf(args[1] as I64) ?? 64));
    default:
      return 64;
  }
}

/** The low 32 bits, zero-extended. */
export function low32(value: I64): I64 {
  if (significantBits(value) <= 32) return value;
  const narrow = asI32(value);
  return narrow === undefined ? value.and(0xffff_ffff) : narrow.toI64();
}

/** The low 32 bits as an i32. */
export function wrap32(value: I64): I32 {
  return asI32(value) ?? value.wrap();
}

/** The low 32 bits, if there is something better than to compute all 64 first. */
function asI32(value: I64): I32 | undefined {
  const { code, args } = value;
  switch (code[0]) {
    case CONST:
      return I32.const(Number(BigInt.asIntN(32, BigInt(constantOf(value)!))));
    case EXTEND:
      return args[0] as I32;
    case LOAD32_U:
      return new I32([LOAD, ...code.slice(1)], args);
    case SHL:
      return (shiftOf(args[1] as I64) ?? 32) < 32 ? both(value) : undefined;
    case ADD:
    case SUB:
    case MUL:
    case AND:
    case OR:
    case XOR:
      return both(value);
    default:
      return undefined;
  }
}

function both({ code, args }: I64): I32 {
  return new I32([code[0]! + TO_I32], [wrap32(args[0] as I64), wrap32(args[1] as I64)]);
}

function shiftOf(count: I64): number | undefined {
  const constant = constantOf(count);
  return constant === undefined ? undefined : Number(constant) & 63;
}

/** The value of a constant; undefined for all else. */
function constantOf({ code }: Expr): number | bigint | undefined {
  if (code[0] !== CONST) return undefined;
  const { length } = code;
  if (length <= 5) {
    let value = 0;
    for (let i = length - 1; i > 0; i--) value = (value << 7) | (code[i]! & 0x7f);
    const unused = 32 - 7 * (length - 1);
    return (value << unused) >> unused;
  }
  let value = 0n;
  for (let i = 1; i < code.length; i++) value |= BigInt(code[i]! & 0x7f) << BigInt(7 * (i - 1));
  return BigInt.asIntN(7 * (code.length - 1), value);
}

function bitsOfConstant(value: number | bigint): number {
  if (value < 0) return 64;
  return typeof value === 'number' ? 32 - Math.clz32(value) : value.toString(2).length;
}
