/** Reading what a packet of JSON says, which is not trusted. All of it throws a `TypeError` that says what is wrong. */

export type Fields = Readonly<Record<string, unknown>>;

/** `what` names the value in errors. */
export function fields(value: unknown, what: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new TypeError(`${what} is not an object`);
  return value as Fields;
}

export function wholeNumber(value: unknown, what: string, max = Number.MAX_SAFE_INTEGER): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= max) return value;
  throw new TypeError(`${what} is not a whole number from 0 to ${max}`);
}
