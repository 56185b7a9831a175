/** The part of the WebAssembly JavaScript interface that we use: the type packages bring it only with the whole DOM. */
declare namespace WebAssembly {
  class Memory {
    constructor(descriptor: { initial: number; maximum: number; shared?: boolean });
    readonly buffer: SharedArrayBuffer;
  }
  class Module {
    constructor(bytes: Uint8Array<ArrayBuffer>);
  }
  class Instance {
    constructor(module: Module, imports: { env: Record<string, Memory | CallableFunction | number> });
    readonly exports: Record<string, CallableFunction>;
  }
  class Table {
    set(index: number, value: CallableFunction | null): void;
  }
  class RuntimeError extends Error {}
}
