/**
 * The file that compiled code is kept in: the length of a header, the header as JSON with spaces behind it to a multiple
 * of 4 bytes, the records of all blocks, the WebAssembly of cold micro-operations, then that of each module and its code.
 */
import type { KeptBlock, KeptContents, KeptModule } from './kept-code.ts';

interface Header {
  /** What the code was made by. */
  readonly version: string;
  readonly operations: readonly (readonly [name: string, bytes: number])[];
  readonly names: readonly string[];
  readonly modules: readonly {
    readonly bytes: number;
    readonly code: number;
    readonly cells: number;
    readonly ownTargets: readonly (readonly [cell: number, region: number, block: number])[];
    readonly optimized: number;
    /** For each region its blocks: `at`, `modes`, 1 for a copy, and how many words of records there are. */
    readonly regions: readonly (readonly (readonly [at: number, modes: number, copy: number, words: number])[])[];
  }[];
}

const ALIGNMENT = 4;

/** The bytes of the file, in pieces. */
export function encodeKeptCode(version: string, { operations, names, modules }: KeptContents): Uint8Array[] {
  const header: Header = {
    version,
    operations: [...operations].map(([name, bytes]) => [name, bytes.length]),
    names,
    modules: modules.map(({ bytes, code, cells, ownTargets, optimized, regions }) => ({
      bytes: bytes.length,
      code: code!.length,
      cells,
      ownTargets: ownTargets.map(({ cell, region, block }) => [cell, region, block] as const),
      optimized,
      regions: regions.map((blocks) =>
        blocks.map(({ at, modes, isCopy, records }) => [at, modes, isCopy ? 1 : 0, records.length] as const),
      ),
    })),
  };
  const text = new TextEncoder().encode(JSON.stringify(header));
  const padded = new Uint8Array(Math.ceil(text.length / ALIGNMENT) * ALIGNMENT).fill(0x20);
  padded.set(text);
  const records = modules.flatMap(({ regions }) => regions.flatMap((blocks) => blocks.map((block) => block.records)));
  return [
    new Uint8Array(Uint32Array.of(padded.length).buffer),
    padded,
    ...records.map(({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength)),
    ...operations.values(),
    ...modules.flatMap(({ bytes, code }) => [bytes, code!]),
  ];
}

/** What the file holds; undefined if it is of another version or not whole. */
export function decodeKeptCode(version: string, file: Uint8Array<ArrayBuffer>): KeptContents | undefined {
  try {
    const reader = new Reader(file);
    const [length] = reader.words(1);
    const header = JSON.parse(new TextDecoder().decode(reader.bytes(length!))) as Header;
    if (header.version !== version) return undefined;
    const regions = header.modules.map((module) =>
      module.regions.map((blocks) =>
        blocks.map(([at, modes, copy, words]): KeptBlock => {
          return { at, modes, isCopy: copy === 1, records: reader.words(words) };
        }),
      ),
    );
    const operations = new Map(header.operations.map(([name, length]) => [name, reader.bytes(length)]));
    const modules = header.modules.map(
      ({ bytes, code, cells, ownTargets, optimized }, i): KeptModule => ({
        bytes: reader.bytes(bytes),
        code: reader.bytes(code),
        cells,
        ownTargets: ownTargets.map(([cell, region, block]) => ({ cell, region, block })),
        optimized,
        regions: regions[i]!,
      }),
    );
    return reader.isAtEnd ? { operations, names: header.names, modules } : undefined;
  } catch {
    return undefined;
  }
}

/** Takes pieces off the front; throws a RangeError where there are no more. */
class Reader {
  readonly #file: Uint8Array<ArrayBuffer>;
  #at = 0;

  /** A copy, if `file` does not start at a multiple of ALIGNMENT in its buffer. */
  constructor(file: Uint8Array<ArrayBuffer>) {
    this.#file = file.byteOffset % ALIGNMENT === 0 ? file : file.slice();
  }

  get isAtEnd(): boolean {
    return this.#at === this.#file.length;
  }

  bytes(length: number): Uint8Array<ArrayBuffer> {
    if (!(length >= 0 && length <= this.#file.length - this.#at)) throw new RangeError('the file is too short');
    this.#at += length;
    return this.#file.subarray(this.#at - length, this.#at);
  }

  words(count: number): Int32Array {
    const { buffer, byteOffset } = this.bytes(4 * count);
    return new Int32Array(buffer, byteOffset, count);
  }
}
