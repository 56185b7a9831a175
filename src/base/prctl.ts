import { check, libc } from './ffi.ts';

const cPrctl = libc<(option: number, a: number, b: number, c: number, d: number) => number>(
  'int prctl(int, int64_t, int64_t, int64_t, int64_t)',
);

/** prctl(2) of the calling thread; `name` is that of the option, for the message of the `SystemError`. */
export function prctl(name: string, option: number, a: number, b = 0): void {
  check(cPrctl(option, a, b, 0, 0), `prctl(${name})`);
}
