import { concatenate } from './concatenate.ts';
import { ELF_CONTENTS, elfProgram } from './elf-program.ts';

/** A system call of Linux on x86-64 that an `initProgram` makes. */
export interface ProgramStep {
  readonly call: number;
  /** At most five. Bytes stand for their address, and text for that of its bytes and a NUL. */
  readonly args: readonly (number | string | Uint8Array)[];
  /** Printed before the errno if the call fails. */
  readonly failure: string;
  /** The program goes on when the call has failed. */
  readonly optional?: boolean;
}

/** What the assembler makes of init-program.s. */
const CODE = Uint8Array.from(
  (
    '4c8d6c2408488b04244d8d74c508488d1da3000000488b03488b7b08488b7310' +
    '488b53184c8b53204c8b432883f83b750a49897d004c89ee4c89f20f054885c0' +
    '78064883c340ebcd48f7d84989c4488b73304885f6743d8b5338e84700000048' +
    '83ec10488d74240fc6060a4489e0b90a00000031d2f7f180c23048ffce881685' +
    'c075f0488d5424104829f2e8160000004883c410837b3c0075a8bf01000000b8' +
    '3c0000000f05bf02000000b8010000000f05c3cccccccccc'
  ).match(/../g)!,
  (byte) => Number.parseInt(byte, 16),
);

const ADDRESS = 0x40_0000;
const ROW_SIZE = 64;
const ROW_FAILURE = 48;
const MAX_ARGS = 5;
const EXIT = 60;

/**
 * A program for Linux on x86-64, linked statically, that makes one system call after the other. One that fails has
 * `failure` and the errno printed on standard error, and ends the program with status 1 unless it is optional. An execve
 * (59) is given only its path: its arguments and environment are the program's own, but for argument 0, the path.
 */
export function initProgram(steps: readonly ProgramStep[]): Uint8Array<ArrayBuffer> {
  const rows = [...steps, { call: EXIT, args: [1], failure: '' }];
  const data = new DataSection(CODE.length + rows.length * ROW_SIZE);
  const table = new DataView(new ArrayBuffer(rows.length * ROW_SIZE));
  for (const [i, step] of rows.entries()) writeRow(table, i * ROW_SIZE, step, data);
  return elfProgram(ADDRESS, concatenate([CODE, new Uint8Array(table.buffer), ...data.parts]));
}

function writeRow(
  table: DataView,
  at: number,
  { call, args, failure, optional = false }: ProgramStep,
  data: DataSection,
) {
  if (args.length > MAX_ARGS) throw new RangeError(`system call ${call} has more than ${MAX_ARGS} arguments`);
  table.setUint32(at, call, true);
  for (const [i, arg] of args.entries()) {
    table.setUint32(at + 8 + i * 8, typeof arg === 'number' ? arg : data.add(arg), true);
  }
  const text = new TextEncoder().encode(failure);
  table.setUint32(at + ROW_FAILURE, data.add(text), true);
  table.setUint32(at + ROW_FAILURE + 8, text.length, true);
  table.setUint32(at + ROW_FAILURE + 12, optional ? 1 : 0, true);
}

/** What the rows refer to, in the order in which it was added. */
class DataSection {
  readonly parts: Uint8Array[] = [];
  #end: number;

  /** `offset`: of the section in the program's contents. */
  constructor(offset: number) {
    this.#end = ADDRESS + ELF_CONTENTS + offset;
  }

  /** The address at which it will be. */
  add(item: string | Uint8Array): number {
    const bytes = typeof item === 'string' ? new TextEncoder().encode(`${item}\0`) : item;
    const address = this.#end;
    this.parts.push(bytes);
    this.#end += bytes.length;
    return address;
  }
}
