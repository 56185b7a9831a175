import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ModuleBuilder } from '../hypervisor/soft/wasm/module-builder.ts';
import { wasmCode } from './wasm-code.ts';

const code = wasmCode();
const skip = code === undefined ? 'this version of Node cannot save compiled WebAssembly' : false;

/** A module with a function that adds up the numbers below its parameter. */
function summing(name: string): Uint8Array<ArrayBuffer> {
  const m = new ModuleBuilder(name);
  m.func(
    ['i32'],
    ['i32'],
    (f, n) => {
      const sum = f.local('i32');
      f.loop((again) => {
        f.set(n, n.sub(1));
        f.set(sum, sum.add(n));
        f.brIf(again, n);
      });
      f.return(sum);
    },
    'sum',
  );
  return m.encode();
}

function instantiate(module: WebAssembly.Module): Record<string, CallableFunction> {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  return new WebAssembly.Instance(module, { env: { memory } }).exports;
}

const pause = () => new Promise((resolve) => setTimeout(resolve, 1));

test('optimized code goes from one module to another, the rest is compiled again', { skip }, async () => {
  const module = new WebAssembly.Module(summing('one'));
  const functions = Object.values(instantiate(module));
  assert.equal(code!.optimized(functions), 0);
  assert.equal(code!.save(module, functions), undefined);
  const sum = functions[0] as (n: number) => number;
  while (code!.optimized(functions) === 0) {
    assert.equal(sum(1000), 499_500);
    await pause();
  }
  const saved = code!.save(module, functions)!;
  // Of the same bytes V8 would find the module that there is.
  const loaded = code!.load(summing('two'), saved)!;
  const others = Object.values(instantiate(loaded));
  assert.equal(code!.optimized(others), 1);
  assert.equal((others[0] as typeof sum)(1000), 499_500);
});

test('what is no code of this V8 is refused', { skip }, () => {
  const bytes = summing('three');
  for (const length of [0, 4, 64, 1000]) assert.equal(code!.load(bytes, new Uint8Array(length).fill(0x5a)), undefined);
});
