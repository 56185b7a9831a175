/**
 * The files of the user's cache folder that keep compiled code from run to run: one for the core module, and one for each
 * vCPU's regions, in which addresses of that vCPU are.
 */
import { readCachedFile, writeCachedFile } from '../../base/cached-file.ts';
import { programVersion } from '../../base/program-version.ts';
import { type WasmCode, wasmCode } from '../../base/wasm-code.ts';
import { type KeptContents, type KeptModule, MAX_KEPT } from './jit/kept-code.ts';
import { decodeKeptCode, encodeKeptCode } from './jit/kept-code-file.ts';

/** Of all versions together. */
const MAX_FOLDER = 256 << 20;

/** Where compiled code is kept: survives structured clone. */
export interface KeptPlace {
  readonly folder: string;
  /** Code of another version is none. */
  readonly version: string;
}

/** `folder`: may not exist yet. `shared`: whether several vCPUs share the memory, which makes other code of locked instructions. */
export function keptPlace(folder: string, shared: boolean): KeptPlace {
  return { folder, version: `${programVersion(import.meta.dirname)}\n${shared ? 'shared' : 'alone'}` };
}

/** One file. */
export class KeptFile {
  readonly wasm: WasmCode;
  readonly contents: KeptContents | undefined;
  readonly #version: string;
  readonly #path: string;

  private constructor(wasm: WasmCode, { folder, version }: KeptPlace, name: string) {
    this.wasm = wasm;
    this.#version = version;
    this.#path = `${folder}/${hashOf(version)}-${name}.wasm-code`;
    const file = readCachedFile(this.#path, 2 * MAX_KEPT);
    this.contents = file && decodeKeptCode(version, file);
  }

  /** Undefined where compiled code cannot be kept. */
  static open(place: KeptPlace | undefined, name: string): KeptFile | undefined {
    const wasm = place && wasmCode();
    return wasm && new KeptFile(wasm, place!, name);
  }

  /** A folder that cannot be written, or is full, costs only time: the next run compiles once more. */
  write(contents: KeptContents): void {
    try {
      writeCachedFile(this.#path, encodeKeptCode(this.#version, contents), MAX_FOLDER);
    } catch {}
  }
}

/** The core module as an earlier run has compiled it. */
export function loadKeptCore(place: KeptPlace | undefined): WebAssembly.Module | undefined {
  const file = KeptFile.open(place, 'core');
  const kept = file?.contents?.modules[0];
  return kept && file.wasm.load(kept.bytes, kept.code!);
}

/** Keeps the core module if V8 has optimized more of it than what is kept. */
export function keepCore(
  place: KeptPlace | undefined,
  bytes: () => Uint8Array<ArrayBuffer>,
  module: WebAssembly.Module,
  functions: readonly CallableFunction[],
): void {
  const file = KeptFile.open(place, 'core');
  if (file === undefined) return;
  const optimized = file.wasm.optimized(functions);
  const known = file.contents?.modules[0];
  if (optimized <= (known?.optimized ?? 0)) return;
  const code = file.wasm.save(module, functions);
  const kept: KeptModule = { bytes: known?.bytes ?? bytes(), cells: 0, regions: [], code, optimized };
  file.write({ operations: new Map(), names: [], modules: [kept] });
}

/** FNV-1a, as hexadecimal digits: only a name, as the file says what it is of. */
function hashOf(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, '0');
}
