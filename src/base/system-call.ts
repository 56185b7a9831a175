import { libc } from './ffi.ts';

/** syscall(2), for what the C library has no function for. -1 with the reason in `errno()`. */
export const systemCall = libc<
  (number: number, a: number, b: number, c: number, d: number, e: number, f: number) => number
>('int64_t syscall(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t)');
