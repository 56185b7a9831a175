/**
 * An encoder for the part of ACPI Machine Language that our DSDT needs (ACPI 6.3, chapter 20). Every function returns
 * the bytes of one term; names are paths as ASL writes them (`\_SB.PCI0`, `_CRS`), each segment up to four characters.
 */
import { ascii, type Bytes, u16, u32, u64 } from '../bytes.ts';

const ZERO_OP = 0x00;
const ONE_OP = 0x01;
const NAME_OP = 0x08;
const BYTE_PREFIX = 0x0a;
const WORD_PREFIX = 0x0b;
const DWORD_PREFIX = 0x0c;
const STRING_PREFIX = 0x0d;
const QWORD_PREFIX = 0x0e;
const SCOPE_OP = 0x10;
const BUFFER_OP = 0x11;
const PACKAGE_OP = 0x12;
const METHOD_OP = 0x14;
const DUAL_NAME_PREFIX = 0x2e;
const MULTI_NAME_PREFIX = 0x2f;
const EXT_PREFIX = 0x5b;
const ROOT_CHAR = 0x5c;
const LOCAL0_OP = 0x60;
const ARG0_OP = 0x68;
const STORE_OP = 0x70;
const AND_OP = 0x7b;
const OR_OP = 0x7d;
const CREATE_DWORD_FIELD_OP = 0x8a;
const LNOT_OP = 0x92;
const LEQUAL_OP = 0x93;
const IF_OP = 0xa0;
const ELSE_OP = 0xa1;
const RETURN_OP = 0xa4;
const EXT_DEVICE_OP = 0x82;

/** A package's element count is one byte. */
const MAX_PACKAGE_ELEMENTS = 255;

export function path(text: string): Bytes {
  const root = text.startsWith('\\') ? [ROOT_CHAR] : [];
  const segments = text.replace('\\', '').split('.');
  for (const s of segments) if (!/^[A-Z_][A-Z0-9_]{0,3}$/.test(s)) throw new RangeError(`bad ACPI name ${text}`);
  const names = segments.flatMap((s) => ascii(s.padEnd(4, '_')));
  if (segments.length === 1) return [...root, ...names];
  if (segments.length === 2) return [...root, DUAL_NAME_PREFIX, ...names];
  return [...root, MULTI_NAME_PREFIX, segments.length, ...names];
}

/** The shortest encoding of a non-negative safe integer. */
export function integer(value: number): Bytes {
  if (value === 0) return [ZERO_OP];
  if (value === 1) return [ONE_OP];
  if (value <= 0xff) return [BYTE_PREFIX, value];
  if (value <= 0xffff) return [WORD_PREFIX, ...u16(value)];
  if (value <= 0xffff_ffff) return [DWORD_PREFIX, ...u32(value)];
  return [QWORD_PREFIX, ...u64(value)];
}

export function string(text: string): Bytes {
  return [STRING_PREFIX, ...ascii(text), 0];
}

export function buffer(bytes: Bytes): Bytes {
  return [BUFFER_OP, ...withLength([...integer(bytes.length), ...bytes])];
}

export function pack(elements: readonly Bytes[]): Bytes {
  if (elements.length > MAX_PACKAGE_ELEMENTS) throw new RangeError(`${elements.length} elements in an ACPI package`);
  return [PACKAGE_OP, ...withLength([elements.length, ...elements.flat()])];
}

export function name(at: string, value: Bytes): Bytes {
  return [NAME_OP, ...path(at), ...value];
}

export function scope(at: string, terms: readonly Bytes[]): Bytes {
  return [SCOPE_OP, ...withLength([...path(at), ...terms.flat()])];
}

export function device(at: string, terms: readonly Bytes[]): Bytes {
  return [EXT_PREFIX, EXT_DEVICE_OP, ...withLength([...path(at), ...terms.flat()])];
}

/** `args` 0-7; not serialized. */
export function method(at: string, args: number, terms: readonly Bytes[]): Bytes {
  return [METHOD_OP, ...withLength([...path(at), args, ...terms.flat()])];
}

export function arg(n: number): Bytes {
  return [ARG0_OP + n];
}

export function local(n: number): Bytes {
  return [LOCAL0_OP + n];
}

export function returns(value: Bytes): Bytes {
  return [RETURN_OP, ...value];
}

export function ifThen(condition: Bytes, terms: readonly Bytes[]): Bytes {
  return [IF_OP, ...withLength([...condition, ...terms.flat()])];
}

/** Follows an `ifThen`. */
export function otherwise(terms: readonly Bytes[]): Bytes {
  return [ELSE_OP, ...withLength(terms.flat())];
}

export function equal(a: Bytes, b: Bytes): Bytes {
  return [LEQUAL_OP, ...a, ...b];
}

export function not(condition: Bytes): Bytes {
  return [LNOT_OP, ...condition];
}

export function store(value: Bytes, target: Bytes): Bytes {
  return [STORE_OP, ...value, ...target];
}

export function and(a: Bytes, b: Bytes, target: Bytes): Bytes {
  return [AND_OP, ...a, ...b, ...target];
}

export function or(a: Bytes, b: Bytes, target: Bytes): Bytes {
  return [OR_OP, ...a, ...b, ...target];
}

/** Names the DWORD at `byteOffset` of a buffer. */
export function createDwordField(source: Bytes, byteOffset: number, at: string): Bytes {
  return [CREATE_DWORD_FIELD_OP, ...source, ...integer(byteOffset), ...path(at)];
}

/** An EISA id ("PNP0A03") as the integer that _HID and _CID take. */
export function eisaId(text: string): Bytes {
  if (!/^[A-Z]{3}[0-9A-F]{4}$/.test(text)) throw new RangeError(`bad EISA id ${text}`);
  const letter = (i: number) => text.charCodeAt(i) - 0x40;
  const vendor = (letter(0) << 10) | (letter(1) << 5) | letter(2);
  const product = Number.parseInt(text.slice(3), 16);
  return [DWORD_PREFIX, vendor >> 8, vendor & 0xff, product >> 8, product & 0xff];
}

/** A UUID as ASL's ToUUID() encodes it: the first three groups little-endian, the rest in order. */
export function uuid(text: string): Bytes {
  const hex = text.replaceAll('-', '');
  if (!/^[0-9a-fA-F]{32}$/.test(hex)) throw new RangeError(`bad UUID ${text}`);
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  return buffer(order.map((i) => Number.parseInt(hex.slice(i * 2, i * 2 + 2), 16)));
}

/**
 * PkgLength in front of what it covers, itself included: one byte up to 63, else a lead byte with the count of further
 * bytes and the lowest four bits (20.2.4).
 */
function withLength(body: Bytes): Bytes {
  if (body.length + 1 < 0x40) return [body.length + 1, ...body];
  for (let more = 1; more <= 3; more++) {
    const length = body.length + 1 + more;
    if (length >= 1 << (4 + 8 * more)) continue;
    const rest = Array.from({ length: more }, (_, i) => (length >> (4 + 8 * i)) & 0xff);
    return [(more << 6) | (length & 0xf), ...rest, ...body];
  }
  throw new RangeError(`an ACPI term of ${body.length} bytes is too long`);
}
