/** Puts functions, imports, a table and exports together into the bytes of a WebAssembly module (specification 5.5). */
import { type Expr, I32, VALTYPE, type ValType } from './expr.ts';
import { type Callable, type FunctionBody, FunctionBuilder, type Local, type Signature } from './function-builder.ts';
import { unsignedLeb, Writer } from './writer.ts';

/** Kinds of imports and exports. */
const FUNCTION = 0;
const TABLE = 1;
const MEMORY = 2;
const GLOBAL = 3;

/** The memory, imported as env.memory, is a shared one of any size (in pages of 64 KiB): one module fits all. */
const SHARED_WITH_MAXIMUM = 3;
const MAX_PAGES = 65536;

/** Of a global. */
const IMMUTABLE = 0;

/** Bytes of a section that there is room for at first. */
const CAPACITY = 256;

type Params<P extends readonly ValType[]> = { [K in keyof P]: Local<P[K] & ValType> };

export class ModuleBuilder {
  readonly #name: string | undefined;
  readonly #types: Signature[] = [];
  readonly #imports: { module: string; name: string; type: number }[] = [];
  readonly #globals: string[] = [];
  readonly #functions: { type: number; body: FunctionBody | undefined; exportAs: string | undefined }[] = [];
  #elements: readonly Callable[] = [];
  #tableSize = 0;
  #tableExport: string | undefined;

  /** The name is what profiles and stack traces call the module. */
  constructor(name?: string) {
    this.#name = name;
  }

  /** All imports come before the first function. */
  importFunction(name: string, params: readonly ValType[], results: readonly ValType[]): Callable {
    if (this.#functions.length > 0) throw new Error(`import ${name} after a function`);
    this.#imports.push({ module: 'env', name, type: this.type({ params, results }) });
    return { index: this.#imports.length - 1, params, results };
  }

  /** A number that the module is told when it is instantiated, and that stays the same. */
  importConstant(name: string): I32 {
    return new I32([0x23, ...unsignedLeb(this.#globals.push(name) - 1)]);
  }

  /** Announces a function so that others can call it before its body is given. */
  declare(params: readonly ValType[], results: readonly ValType[], exportAs?: string): Callable {
    this.#functions.push({ type: this.type({ params, results }), body: undefined, exportAs });
    return { index: this.#imports.length + this.#functions.length - 1, params, results };
  }

  /** Gives a declared function its body. */
  define(callee: Callable, body: (f: FunctionBuilder, ...params: Local<ValType>[]) => void): void {
    const f = new FunctionBuilder(callee.params);
    body(f, ...callee.params.map((type, i) => f.param(i, type)));
    this.#functions[callee.index - this.#imports.length]!.body = f.finish();
  }

  func<const P extends readonly ValType[]>(
    params: P,
    results: readonly ValType[],
    body: (f: FunctionBuilder, ...params: Params<P>) => void,
    exportAs?: string,
  ): Callable {
    const callee = this.declare(params, results, exportAs);
    this.define(callee, body as (f: FunctionBuilder, ...params: Expr[]) => void);
    return callee;
  }

  /** The contents of table 0, for call_indirect. */
  table(elements: readonly Callable[]): void {
    this.#elements = elements;
    this.#tableSize = elements.length;
  }

  /** Table 0 of `size` empty places, which TypeScript fills. */
  exportTable(name: string, size: number): void {
    this.#tableExport = name;
    this.#tableSize = size;
  }

  /** The number of a function type. */
  type(signature: Signature): number {
    const same = (a: readonly ValType[], b: readonly ValType[]) =>
      a.length === b.length && a.every((t, i) => t === b[i]);
    const found = this.#types.findIndex((t) => same(t.params, signature.params) && same(t.results, signature.results));
    return found >= 0 ? found : this.#types.push(signature) - 1;
  }

  encode(): Uint8Array<ArrayBuffer> {
    const size = this.#functions.reduce((sum, f) => sum + (f.body?.bytes.length ?? 0), 1024);
    const w = new Writer(2 * size);
    w.bytes([0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
    section(w, 1, CAPACITY, (s) => vector(s, this.#types, (t) => functionType(s, t)));
    section(w, 2, CAPACITY, (s) => this.#encodeImports(s));
    section(w, 3, CAPACITY, (s) => vector(s, this.#functions, (f) => s.u32(f.type)));
    if (this.#tableSize > 0) {
      section(w, 4, CAPACITY, (s) => {
        s.bytes([1, 0x70, 0x01]);
        s.u32(this.#tableSize);
        s.u32(this.#tableSize);
      });
    }
    const exported = this.#functions
      .map((f, i) => ({ name: f.exportAs, kind: FUNCTION, index: this.#imports.length + i }))
      .filter((e) => e.name !== undefined);
    if (this.#tableExport !== undefined) exported.push({ name: this.#tableExport, kind: TABLE, index: 0 });
    section(w, 7, CAPACITY, (s) =>
      vector(s, exported, (e) => {
        s.name(e.name!);
        s.u8(e.kind);
        s.u32(e.index);
      }),
    );
    if (this.#elements.length > 0) {
      section(w, 9, CAPACITY, (s) => {
        s.bytes([1, 0, 0x41, 0, 0x0b]);
        vector(s, this.#elements, (e) => s.u32(e.index));
      });
    }
    section(w, 0, size, (s) => this.#encodeHints(s));
    section(w, 10, size, (s) =>
      vector(s, this.#functions, (f) => {
        if (f.body === undefined) throw new Error('a declared function has no body');
        s.u32(f.body.bytes.length);
        s.bytes(f.body.bytes);
      }),
    );
    const name = this.#name;
    if (name !== undefined) section(w, 0, CAPACITY, (s) => nameSection(s, name));
    return w.take();
  }

  /** Custom section "metadata.code.branch_hint" (branch hinting proposal). */
  #encodeHints(s: Writer): void {
    const hinted = this.#functions
      .map((f, i) => ({ index: this.#imports.length + i, hints: f.body?.hints ?? [] }))
      .filter(({ hints }) => hints.length > 0);
    s.name('metadata.code.branch_hint');
    vector(s, hinted, ({ index, hints }) => {
      s.u32(index);
      vector(s, hints, ({ at, likely }) => {
        s.u32(at);
        s.u32(1);
        s.u8(likely ? 1 : 0);
      });
    });
  }

  #encodeImports(s: Writer): void {
    s.u32(this.#imports.length + this.#globals.length + 1);
    s.name('env');
    s.name('memory');
    s.u8(MEMORY);
    s.u8(SHARED_WITH_MAXIMUM);
    s.u32(1);
    s.u32(MAX_PAGES);
    for (const i of this.#imports) {
      s.name(i.module);
      s.name(i.name);
      s.u8(FUNCTION);
      s.u32(i.type);
    }
    for (const name of this.#globals) {
      s.name('env');
      s.name(name);
      s.bytes([GLOBAL, VALTYPE.i32, IMMUTABLE]);
    }
  }
}

function section(w: Writer, id: number, capacity: number, body: (s: Writer) => void): void {
  const s = new Writer(capacity);
  body(s);
  w.u8(id);
  w.u32(s.length);
  w.bytes(s.view());
}

/** The custom section "name" with nothing but the module's (specification, appendix, 7.4.1). */
function nameSection(s: Writer, name: string): void {
  s.name('name');
  section(s, 0, CAPACITY, (module) => module.name(name));
}

function vector<T>(w: Writer, items: readonly T[], each: (item: T) => void): void {
  w.u32(items.length);
  for (const item of items) each(item);
}

function functionType(w: Writer, t: Signature): void {
  w.u8(0x60);
  vector(w, t.params, (p) => w.u8(VALTYPE[p]));
  vector(w, t.results, (r) => w.u8(VALTYPE[r]));
}
