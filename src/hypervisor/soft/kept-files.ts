/**
 * The files of the user's cache folder that keep compiled code from run to run: one for the core module, and one for each
 * vCPU's regions, in which addresses of that vCPU are.
 */
import { readCachedFile, writeCachedFile } from '../../base/cached-file.ts';
import { programVersion } from '../../base/program-version.ts';
import { type WasmCode, wasmCode } from '../../base/wasm-code.ts';
import { coreModule } from './interpreter/core.ts';
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

/** What a vCPU keeps of its code. */
interface KeepingEngine {
  readonly coreFunctions: readonly CallableFunction[];
  readonly code: { readonly jit: { readonly kept: KeptContents | undefined } | undefined };
}

/** One file. */
export class KeptFile {
  readonly wasm: WasmCode;
  readonly contents: KeptContents | undefined;
  readonly #place: KeptPlace;
  readonly #owner: number | 'core';

  private constructor(wasm: WasmCode, place: KeptPlace, owner: number | 'core') {
    this.wasm = wasm;
    this.#place = place;
    this.#owner = owner;
    const file = readCachedFile(this.#path, 2 * MAX_KEPT);
    this.contents = file && decodeKeptCode(place.version, file);
  }

  /** That of a vCPU, or of the core module; undefined where compiled code cannot be kept. */
  static open(place: KeptPlace | undefined, owner: number | 'core'): KeptFile | undefined {
    const wasm = place && wasmCode();
    return wasm && new KeptFile(wasm, place!, owner);
  }

  /** Keeps what a vCPU has compiled; and the core module, if this is the file of the first one. */
  keep(engine: KeepingEngine, core: WebAssembly.Module): void {
    if (this.#owner === 0) new KeptFile(this.wasm, this.#place, 'core').#keepCore(core, engine.coreFunctions);
    const contents = engine.code.jit?.kept;
    if (contents !== undefined) this.#write(contents);
  }

  /** If none is kept, or V8 has optimized more of it. */
  #keepCore(module: WebAssembly.Module, functions: readonly CallableFunction[]): void {
    const optimized = this.wasm.optimized(functions);
    const known = this.contents?.modules[0];
    if (known !== undefined && optimized <= known.optimized) return;
    const code = this.wasm.save(module, functions) ?? new Uint8Array();
    const kept: KeptModule = {
      bytes: known?.bytes ?? coreModule(),
      cells: 0,
      ownTargets: [],
      regions: [],
      code,
      optimized,
    };
    this.#write({ operations: new Map(), names: [], modules: [kept] });
  }

  /** A folder that cannot be written, or is full, costs only time: the next run compiles once more. */
  #write(contents: KeptContents): void {
    try {
      writeCachedFile(this.#path, encodeKeptCode(this.#place.version, contents), MAX_FOLDER);
    } catch {}
  }

  get #path(): string {
    const { folder, version } = this.#place;
    return `${folder}/${hashOf(version)}-${this.#owner}.wasm-code`;
  }
}

/** The core module as an earlier run has generated and, if it ran for long enough, compiled it. */
export function loadKeptCore(place: KeptPlace | undefined): WebAssembly.Module | undefined {
  const file = KeptFile.open(place, 'core');
  const kept = file?.contents?.modules[0];
  if (kept === undefined) return undefined;
  try {
    return file!.wasm.load(kept.bytes, kept.code!) ?? new WebAssembly.Module(kept.bytes);
  } catch {
    return undefined; // damaged
  }
}

/** FNV-1a, as hexadecimal digits: only a name, as the file says what it is of. */
function hashOf(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, '0');
}
