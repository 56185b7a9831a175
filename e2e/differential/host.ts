/** Runs test cases on the host's CPU, through harness.c. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VECTOR } from '../../src/hypervisor/soft/architecture.ts';
import {
  CASE,
  CASE_SIZE,
  CODE,
  CODE_SEGMENT_32,
  CODE_SEGMENT_64,
  MEMORY_PAGES,
  PAGE,
  RESULT,
  RESULT_SIZE,
} from './layout.ts';
import { type Change, link, type Outcome, type TestCase, TIMED_OUT } from './test-case.ts';

const MAGIC = 0x3146_4944;
const SIGALRM = 14;
const SOURCE = join(import.meta.dirname, 'harness.c');
/** At a random high address: nothing that sequences could reach. */
const FLAGS = ['-O2', '-static-pie', '-fno-stack-protector', '-fcf-protection=none'];

/** Why sequences cannot run here, or false if they can. */
export function hostMissing(): string | false {
  if (process.arch !== 'x64' || process.platform !== 'linux') return 'the host is not x86-64 Linux';
  return spawnSync('gcc', ['--version']).status === 0 ? false : 'no gcc here: install gcc and libc6-dev';
}

export class Host {
  readonly #folder = mkdtempSync(join(tmpdir(), 'crosvm-differential-'));
  readonly #program = join(this.#folder, 'harness');

  constructor() {
    const result = spawnSync('gcc', [...FLAGS, '-o', this.#program, SOURCE], { encoding: 'utf8' });
    if (result.status !== 0) throw new Error(`the harness does not compile:\n${result.stderr}`);
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Runs cases that all start with the same memory. */
  run(memory: Uint8Array, cases: readonly TestCase[]): Outcome[] {
    const input = new Uint8Array(8 + MEMORY_PAGES * PAGE + cases.length * CASE_SIZE);
    const view = new DataView(input.buffer);
    view.setUint32(0, MAGIC, true);
    view.setUint32(4, cases.length, true);
    input.set(memory, 8);
    cases.forEach((test, i) => {
      writeCase(input, view, 8 + MEMORY_PAGES * PAGE + i * CASE_SIZE, test);
    });
    const { status, signal, stdout, error } = spawnSync(this.#program, { input, maxBuffer: 2 ** 30 });
    if (error !== undefined || status !== 0) throw new Error(`the harness failed: ${signal ?? status ?? error}`);
    return readResults(stdout, cases.length);
  }
}

function writeCase(input: Uint8Array, view: DataView, at: number, test: TestCase): void {
  const code = link(test, CODE);
  view.setUint32(at + CASE.offset, test.offset, true);
  view.setUint32(at + CASE.length, code.length, true);
  view.setUint32(at + CASE.rflags, test.state.rflags, true);
  const { gpr } = test.state;
  input.set(new Uint8Array(gpr.buffer, gpr.byteOffset, 128), at + CASE.gpr);
  view.setUint32(at + CASE.codeSegment, test.codeSize === 8 ? CODE_SEGMENT_64 : CODE_SEGMENT_32, true);
  input.set(code, at + CASE.code);
  input.set(test.state.fxsave, at + CASE.fxsave);
}

function readResults(bytes: Uint8Array, count: number): Outcome[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const outcomes: Outcome[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    const changes: Change[] = [];
    const n = view.getUint32(at + RESULT.changes, true);
    for (let k = 0; k < n; k++) {
      const entry = at + RESULT_SIZE + k * 16;
      const address = Number(view.getBigUint64(entry, true));
      changes.push({ address, value: view.getBigUint64(entry + 8, true) });
    }
    outcomes.push(readResult(bytes, view, at, changes));
    at += RESULT_SIZE + n * 16;
  }
  return outcomes;
}

function readResult(bytes: Uint8Array, view: DataView, at: number, changes: Change[]): Outcome {
  const trap = view.getUint32(at + RESULT.trap, true);
  const rip = view.getBigUint64(at + RESULT.rip, true);
  const gpr = new BigUint64Array(16);
  new Uint8Array(gpr.buffer).set(bytes.subarray(at + RESULT.gpr, at + RESULT.gpr + 128));
  return {
    vector: view.getUint32(at + RESULT.signal, true) === SIGALRM ? TIMED_OUT : trap,
    address: view.getBigUint64(at + RESULT.address, true),
    error: view.getUint32(at + RESULT.error, true),
    rip: trap === VECTOR.bp ? rip - 1n : rip,
    rflags: view.getUint32(at + RESULT.rflags, true),
    gpr,
    fxsave: bytes.slice(at + RESULT.fxsave, at + RESULT.fxsave + 512),
    changes,
  };
}
