import assert from 'node:assert/strict';
import { test } from 'node:test';
import { partOf, selfTimes } from './cpu-profile.ts';

const frame = (functionName: string, url = '', lineNumber = -1) => ({ functionName, url, lineNumber });

test('a frame belongs to a module, a folder, the collector, the compiler or Node', () => {
  const part = (name: string, url?: string) => partOf(frame(name, url), '/p/');
  assert.equal(part('wasm-function[3]', 'wasm://wasm/jit-0002813e'), 'wasm: jit');
  assert.equal(part('wasm-function[3]', 'wasm://wasm/cold-operations-0002813e'), 'wasm: cold-operations');
  assert.equal(part('wasm-function[3]', 'wasm://wasm/0002813e'), 'wasm: other');
  assert.equal(part('run', 'file:///p/src/hypervisor/soft/vcpu.ts'), 'src/hypervisor/soft');
  assert.equal(part('(garbage collector)'), 'garbage collector');
  assert.equal(part('Module'), 'compiling WebAssembly');
  assert.equal(part('emit', 'node:events'), 'V8 and Node');
});

test('times are summed for parts and functions, regions as one, idle time not at all', () => {
  const nodes = [
    { id: 1, callFrame: frame('(idle)') },
    { id: 2, callFrame: frame('wasm-function[1]', 'wasm://wasm/jit-0a') },
    { id: 3, callFrame: frame('wasm-function[2]', 'wasm://wasm/jit-0b') },
    { id: 4, callFrame: frame('run', 'file:///p/src/cpu/vcpu.ts', 9) },
    { id: 5, callFrame: frame('', 'file:///p/src/cpu/vcpu.ts', 19) },
  ];
  const profile = { nodes, samples: [1, 2, 3, 4, 5, 2], timeDeltas: [9000, 1000, 2000, 1000, 500, 3000] };
  assert.deepEqual(selfTimes(profile, '/p/'), {
    parts: [
      { name: 'wasm: jit', milliseconds: 6 },
      { name: 'src/cpu', milliseconds: 1.5 },
    ],
    functions: [
      { name: 'wasm: jit', milliseconds: 6 },
      { name: 'src/cpu/vcpu.ts:10 run', milliseconds: 1 },
      { name: 'src/cpu/vcpu.ts:20 (anonymous)', milliseconds: 0.5 },
    ],
  });
});
