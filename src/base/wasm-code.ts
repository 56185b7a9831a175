/**
 * What V8 has compiled of WebAssembly, as bytes that another run can take over. V8 offers it to embedders and, as a
 * runtime function, to its own tests: where a version of Node has that no more, there is no WasmCode.
 */
import { setFlagsFromString } from 'node:v8';

export interface WasmCode {
  /**
   * The optimized code of a module, of which these are all exported functions; undefined if it has none. Functions that
   * V8 has not optimized are compiled anew by those who load it.
   */
  save(module: WebAssembly.Module, functions: readonly CallableFunction[]): Uint8Array<ArrayBuffer> | undefined;
  /** How many of the functions V8 has optimized. */
  optimized(functions: readonly CallableFunction[]): number;
  /** The module of these bytes with that code; undefined if another version of V8 made it, or on another processor. */
  load(bytes: Uint8Array<ArrayBuffer>, code: Uint8Array<ArrayBuffer>): WebAssembly.Module | undefined;
}

/** Undefined where there is no such thing. */
export function wasmCode(): WasmCode | undefined {
  if (typeof process.versions.v8 !== 'string') return undefined;
  setFlagsFromString('--allow-natives-syntax');
  try {
    const serialize = native<(module: WebAssembly.Module) => ArrayBuffer>('SerializeWasmModule', 1);
    const deserialize = native<(code: ArrayBuffer, bytes: Uint8Array) => unknown>('DeserializeWasmModule', 2);
    const isOptimized = native<(f: CallableFunction) => boolean>('IsTurboFanFunction', 1);
    const optimized = (functions: readonly CallableFunction[]) => functions.filter(isOptimized).length;
    return {
      // V8 ends the process when there is nothing to save.
      save: (module, functions) => (optimized(functions) > 0 ? new Uint8Array(serialize(module)) : undefined),
      optimized,
      load: (bytes, code) => {
        const module = deserialize(code.buffer.slice(code.byteOffset, code.byteOffset + code.length), bytes);
        return module instanceof WebAssembly.Module ? module : undefined;
      },
    };
  } catch {
    return undefined; // no such functions: a SyntaxError
  }
}

/** The runtime function of this name as a function of JavaScript. */
function native<F>(name: string, params: number): F {
  const names = ['a', 'b'].slice(0, params);
  return new Function(...names, `return %${name}(${names.join(', ')})`) as F;
}
