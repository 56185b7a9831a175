/** How an MC146818 writes numbers: register B chooses BCD or binary, and 12 or 24 hours. */

const B_BINARY = 0x04;
const B_24_HOUR = 0x02;
const PM = 0x80;

/** The fields of a time in UTC; month and day count from 1. */
export interface Calendar {
  year: number;
  month: number;
  day: number;
  hours: number;
  minutes: number;
  seconds: number;
  milliseconds: number;
}

export function calendarFrom(date: Date): Calendar {
  return {
    year: date.getUTCFullYear(),
    month: date.getUTCMonth() + 1,
    day: date.getUTCDate(),
    hours: date.getUTCHours(),
    minutes: date.getUTCMinutes(),
    seconds: date.getUTCSeconds(),
    milliseconds: date.getUTCMilliseconds(),
  };
}

/** 1 for Sunday to 7 for Saturday. */
export function dayOfWeek(date: Date): number {
  return date.getUTCDay() + 1;
}

/** `value` is 0-99. */
export function toRegister(value: number, statusB: number): number {
  return statusB & B_BINARY ? value : (Math.floor(value / 10) << 4) | (value % 10);
}

export function fromRegister(value: number, statusB: number): number {
  return statusB & B_BINARY ? value : (value >> 4) * 10 + (value & 0x0f);
}

/** Hours 0-23 as 0-23, or as 1-12 with bit 7 for the afternoon. */
export function hoursToRegister(hours: number, statusB: number): number {
  if (statusB & B_24_HOUR) return toRegister(hours, statusB);
  return toRegister(((hours + 11) % 12) + 1, statusB) | (hours >= 12 ? PM : 0);
}

export function hoursFromRegister(value: number, statusB: number): number {
  if (statusB & B_24_HOUR) return fromRegister(value, statusB);
  return (fromRegister(value & ~PM, statusB) % 12) + (value & PM ? 12 : 0);
}
