import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseKeyValues } from './key-value.ts';

test('pairs, flags and lists', () => {
  assert.deepEqual(parseKeyValues('k=v,k2=[a,b],flag'), [
    { key: 'k', value: 'v' },
    { key: 'k2', value: [{ value: 'a' }, { value: 'b' }] },
    { value: 'flag' },
  ]);
});

test('a first value without its key', () => {
  assert.deepEqual(parseKeyValues('/dev/x=1,ro'), [{ value: '/dev/x=1' }, { value: 'ro' }]);
});

test('nested brackets with keys, and empty ones', () => {
  assert.deepEqual(parseKeyValues('types=[atom=[0,2-3],core=[]]'), [
    {
      key: 'types',
      value: [
        { key: 'atom', value: [{ value: '0' }, { value: '2-3' }] },
        { key: 'core', value: [] },
      ],
    },
  ]);
});

test('a bare value may contain an equals sign', () => {
  assert.deepEqual(parseKeyValues('path=/a=b c'), [{ key: 'path', value: '/a=b c' }]);
});

test('quotes protect separators, a backslash protects quotes', () => {
  assert.deepEqual(parseKeyValues(`path="a,b]\\"c",x='d"\\\\'`), [
    { key: 'path', value: 'a,b]"c' },
    { key: 'x', value: 'd"\\' },
  ]);
});

for (const [text, message] of [
  ['', /a value expected at the end/],
  ['a=', /a value expected at the end/],
  ['a,,b', /a value expected at ",b"/],
  ['a,', /a value expected at the end/],
  ['k=[a,b', /"\]" expected at the end/],
  ['k=[a]]', /"," or the end expected at "\]"/],
  ['k=]', /a value expected at "\]"/],
  ['k=v[1]', /"," or the end expected at "\[1\]"/],
  ['k="abc', /closing " missing/],
  ["k='abc\\", /closing ' missing/],
  ['k="a"b', /"," or the end expected at "b"/],
  [`k=${'['.repeat(100_000)}`, /nested more than 16 deep/],
] as const) {
  test(`refuses ${JSON.stringify(text.slice(0, 20))}`, () => {
    assert.throws(() => parseKeyValues(text), { code: 'E_OPTION', message });
  });
}
