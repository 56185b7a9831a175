import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { digitsIn, machineCodeOf, noAssembler } from './testing/machine-code.ts';

const PAGE = 4096;
const base = (name: string) => new URL(`./${name}`, import.meta.url).href;
const onlyX64 = process.arch === 'x64' ? false : 'there is a handler for x86-64 only';

test('the bytes of the handler are what the assembler makes of its text', (t) => {
  const missing = noAssembler();
  if (missing !== undefined) return t.skip(missing);
  const path = (name: string) => fileURLToPath(base(name));
  assert.equal(digitsIn(path('bus-errors.ts')), machineCodeOf(path('bus-error-handler.s')));
});

/** Runs code in a process of its own that has a file of two pages mapped, and has cut it to one. */
function run(code: string): { status: number | null; signal: NodeJS.Signals | null; stdout: string; stderr: string } {
  const folder = mkdtempSync(join(tmpdir(), 'bus-errors-'));
  const path = join(folder, 'file');
  writeFileSync(path, new Uint8Array(2 * PAGE).fill(7));
  const program = `
    import { ftruncateSync, openSync } from 'node:fs';
    import { mmap, MAP_SHARED, view } from '${base('mmap.ts')}';
    import { addressOf } from '${base('ffi.ts')}';
    import { watchBusErrors } from '${base('bus-errors.ts')}';
    const fd = openSync(${JSON.stringify(path)}, 'r+');
    const PAGE = ${PAGE};
    const address = mmap({ length: 2 * PAGE, fd });
    const bytes = new Uint8Array(view(address, 2 * PAGE));
    ${code}`;
  try {
    return spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8', timeout: 20_000 });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('a missing page of a watched range reads as zeroes, and is told', { skip: onlyX64 }, () => {
  const { stdout, status } = run(`
    const watch = watchBusErrors(address, 2 * PAGE);
    ftruncateSync(fd, PAGE);
    console.log(bytes[0], watch.event.clear());
    console.log(bytes[PAGE + 5], watch.event.clear());
    bytes[PAGE + 6] = 1;
    console.log(bytes[PAGE + 6], watch.event.clear());
    watch.close();`);
  assert.deepEqual([stdout, status], ['7 0\n0 1\n1 0\n', 0]);
});

test('also for generated code, on another thread', { skip: onlyX64 }, () => {
  const { stdout, status, stderr } = run(`
    import { Worker } from 'node:worker_threads';
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    mmap({ address: addressOf(memory.buffer), length: 2 * PAGE, fd, flags: MAP_SHARED });
    const watch = watchBusErrors(addressOf(memory.buffer), 2 * PAGE);
    ftruncateSync(fd, PAGE);
    // (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
    const code = Buffer.from('0061736d0100000001060160017f017f020d0103656e76036d656d0203010103020100070801046c6f616400000a0901070020002d00000b','hex');
    const worker = new Worker(
      "import { workerData, parentPort } from 'node:worker_threads';" +
      "const { exports } = new WebAssembly.Instance(workerData.module, { env: { mem: workerData.memory } });" +
      "parentPort.postMessage([exports.load(5), exports.load(4096 + 5)]);",
      { eval: true, workerData: { memory, module: new WebAssembly.Module(code) } });
    worker.on('message', (found) => console.log(found.join(' '), watch.event.clear()));`);
  assert.deepEqual([stdout, status, stderr], ['7 0 1\n', 0, '']);
});

test('elsewhere, and when the watch is over, it ends the process', { skip: onlyX64 }, () => {
  for (const code of [
    'watchBusErrors(address, PAGE);',
    'watchBusErrors(address + 2 * PAGE, PAGE);',
    'watchBusErrors(address, 2 * PAGE).close();',
  ]) {
    const { signal, stdout } = run(`${code} ftruncateSync(fd, PAGE); console.log(bytes[PAGE]);`);
    assert.deepEqual([signal, stdout], ['SIGBUS', '']);
  }
});

test('many ranges, and their places again', { skip: onlyX64 }, () => {
  const { stdout } = run(`
    let watches = [];
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 130; i++) watches.push(watchBusErrors(address + 16 * PAGE * i, 2 * PAGE));
      console.log(watches.filter((watch) => watch !== undefined).length);
      for (const watch of watches) watch?.close();
      watches = [];
    }`);
  assert.equal(stdout, '126\n126\n126\n');
});
