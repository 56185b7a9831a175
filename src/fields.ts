/** Reading what JSON of somebody else says, which is not trusted. All of it throws a `TypeError` that says what is wrong. */

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

/** A list of at most `max` values. */
export function list(value: unknown, what: string, max: number): readonly unknown[] {
  if (Array.isArray(value) && value.length <= max) return value;
  throw new TypeError(`${what} is not a list of at most ${max}`);
}

export function truth(value: unknown, what: string): boolean {
  if (typeof value === 'boolean') return value;
  throw new TypeError(`${what} is neither true nor false`);
}
