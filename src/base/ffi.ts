/**
 * Calls into the C library. Pointers travel as Numbers (user addresses have 47 bits): that is cheaper than BigInt and
 * lets an address be computed with `+`. Each file of this folder declares the functions that it needs.
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type * as Koffi from 'koffi';
import { SystemError } from './system-error.ts';

/** EAGAIN, EINTR: the two errnos that callers treat as answers, not as failures. */
export const EINTR = 4;
export const EAGAIN = 11;

type KoffiModule = Pick<typeof Koffi, 'load' | 'address' | 'view' | 'errno' | 'node'>;

/** koffi's own entry probes the system for 10 ms; its binary loads in one. */
function loadKoffi(): KoffiModule {
  const require = createRequire(import.meta.url);
  try {
    const folder = dirname(require.resolve(`@koromix/koffi-${process.platform}-${process.arch}/package.json`));
    const module = { exports: {} };
    process.dlopen(module, join(folder, `${process.platform}_${process.arch}`, 'koffi.node'));
    return module.exports as KoffiModule;
  } catch {
    return require('koffi') as KoffiModule;
  }
}

export const koffi: KoffiModule = loadKoffi();

const library = koffi.load(null);

/** A C function, from its prototype. Declare `int64_t` for pointers held as Numbers, `void *` to pass byte arrays. */
export function libc<F extends (...args: never[]) => unknown>(prototype: string): F {
  return library.func(prototype) as unknown as F;
}

/**
 * Where the bytes of a buffer or of a typed array lie. The address holds as long as the buffer is reachable: use
 * `pin` where nothing else keeps it. (A WebAssembly memory without a maximum, or one that is not shared, may move when it grows.)
 */
export function addressOf(bytes: ArrayBufferLike | ArrayBufferView): number {
  if (!ArrayBuffer.isView(bytes)) return Number(koffi.address(bytes));
  // Small typed arrays live in V8's heap, which moves them; to ask for their buffer takes them out of there for good.
  return Number(koffi.address(bytes.buffer)) + bytes.byteOffset;
}

const pinned: unknown[] = [];

/**
 * `addressOf` a buffer that is kept for ever, such as the scratch space of a module. (A module-level constant that no
 * function mentions is garbage to V8, so a module that remembers only the address would lose the bytes.)
 */
export function pin(bytes: ArrayBufferLike | ArrayBufferView): number {
  pinned.push(bytes);
  return addressOf(bytes);
}

/** The calling thread's errno. Costs 90 ns: ask only after a call that returned -1. */
export function errno(): number {
  return koffi.errno();
}

/** Returns `result`, or throws the `SystemError` of the call that has just failed with -1. */
export function check(result: number, call: string, about?: string): number {
  if (result === -1) throw new SystemError(call, errno(), about);
  return result;
}
