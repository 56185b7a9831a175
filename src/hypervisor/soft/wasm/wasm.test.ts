import assert from 'node:assert/strict';
import { test } from 'node:test';
import { I32, I64, select } from './expr.ts';
import { ModuleBuilder } from './module-builder.ts';

function instantiate(m: ModuleBuilder, env: Record<string, CallableFunction> = {}): Record<string, CallableFunction> {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(m.encode()), { env: { memory, ...env } });
  return instance.exports as Record<string, CallableFunction>;
}

test('arithmetic, locals, memory, loops and calls', () => {
  const m = new ModuleBuilder();
  const host = m.importFunction('host', ['i32'], ['i32']);
  const square = m.func(['i32'], ['i32'], (f, x) => f.return(x.mul(x)));
  m.func(
    ['i32'],
    ['i32'],
    (f, n) => {
      const sum = f.local('i32');
      f.loop((again) => {
        f.set(sum, sum.add(f.call(square, 'i32', n)));
        f.set(n, n.sub(1));
        f.brIf(again, n);
      });
      f.store32(I32.const(8), 4, sum);
      f.return(f.call(host, 'i32', f.load32(I32.const(12))));
    },
    'sumOfSquares',
  );
  const e = instantiate(m, { host: (x: number) => x + 1 });
  assert.equal(e['sumOfSquares']!(4), 31);
});

test('switch reaches each case once and the default beyond', () => {
  const m = new ModuleBuilder();
  m.func(
    ['i32'],
    ['i32'],
    (f, n) => {
      const r = f.local('i32');
      f.switch(
        n,
        [10, 20, 30].map((v) => () => f.set(r, r.add(v))),
        () => f.set(r, I32.const(99)),
      );
      f.return(r);
    },
    'pick',
  );
  const e = instantiate(m);
  assert.deepEqual(
    [0, 1, 2, 3, 1000].map((n) => e['pick']!(n)),
    [10, 20, 30, 99, 99],
  );
});

test('64-bit constants and select', () => {
  const m = new ModuleBuilder();
  m.func(
    ['i64'],
    ['i64'],
    (f, x) => f.return(select(x.ltS(0), I64.const(-0x8000_0000_0000_0000n), x.add(0xffff_ffff_fn))),
    'f',
  );
  const e = instantiate(m);
  assert.equal(e['f']!(-1n), -0x8000_0000_0000_0000n);
  assert.equal(e['f']!(1n), 0x10_0000_0000n);
});

test('an indirect call goes through the table', () => {
  const m = new ModuleBuilder();
  const one = m.func(['i32'], ['i32'], (f, x) => f.return(x.add(1)));
  const two = m.func(['i32'], ['i32'], (f, x) => f.return(x.add(2)));
  const type = m.type({ params: ['i32'], results: ['i32'] });
  m.func(['i32'], ['i32'], (f, i) => f.return(f.callIndirect(type, 'i32', i, I32.const(40))), 'go');
  m.table([one, two]);
  const e = instantiate(m);
  assert.deepEqual([e['go']!(0), e['go']!(1)], [41, 42]);
});

test('the name of a module is what stack traces call it', () => {
  const stackOf = (name?: string) => {
    const m = new ModuleBuilder(name);
    const host = m.importFunction('host', [], ['i32']);
    m.func([], ['i32'], (f) => f.return(f.call(host, 'i32')), 'run');
    let stack = '';
    const exported = instantiate(m, {
      host: () => {
        stack = new Error().stack ?? '';
        return 1;
      },
    });
    exported['run']!();
    return stack;
  };
  assert.match(stackOf('calculator'), /wasm:\/\/wasm\/calculator-/);
  assert.match(stackOf(), /wasm:\/\/wasm\/[0-9a-f]+:/);
});

/** The hints of the first function, as [place, likely], and the opcodes at these places. */
function hintsOf(bytes: Uint8Array): { hints: [number, number][]; opcodes: number[] } {
  const sections = new Map<string, Uint8Array>();
  for (let at = 8; at < bytes.length; ) {
    const id = bytes[at]!;
    const length = bytes[at + 1]!;
    assert.ok(length < 0x80, 'lengths of one byte only');
    const body = bytes.subarray(at + 2, at + 2 + length);
    const name = id === 0 ? new TextDecoder().decode(body.subarray(1, 1 + body[0]!)) : `${id}`;
    sections.set(name, id === 0 ? body.subarray(1 + body[0]!) : body);
    at += 2 + length;
  }
  const [functions, , count, ...rest] = sections.get('metadata.code.branch_hint')!;
  assert.equal(functions, 1);
  const hints = Array.from({ length: count! }, (_, i): [number, number] => [rest[3 * i]!, rest[3 * i + 2]!]);
  const code = sections.get('10')!.subarray(2);
  return { hints, opcodes: hints.map(([at]) => code[at]!) };
}

test('branch hints stand where their instructions are, with what is inserted before them', () => {
  const m = new ModuleBuilder();
  m.func(['i32'], ['i32'], (f, n) => {
    const r = f.local('i32');
    f.later(() => f.ifRare(n, () => f.set(r, I32.const(1))));
    f.set(r, I32.const(1000));
    f.ifLikely(
      n,
      () => f.set(r, I32.const(2)),
      () => f.later(() => f.set(r, I32.const(3))),
    );
    f.if(n, () => f.ifRare(r, () => f.set(r, I32.const(4))));
    f.return(r);
  });
  const bytes = m.encode();
  assert.ok(new WebAssembly.Module(bytes));
  const { hints, opcodes } = hintsOf(bytes);
  assert.deepEqual(
    hints.map(([, likely]) => likely),
    [0, 1, 0],
  );
  assert.deepEqual(opcodes, [0x04, 0x04, 0x04]);
});
