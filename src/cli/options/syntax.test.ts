import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as syntax from './syntax.ts';

function refuses(s: syntax.ValueSyntax<unknown>, text: string, message: RegExp): void {
  assert.throws(() => s.parse(text), { code: 'E_OPTION', message });
}

test('integers are whole, decimal or hexadecimal, and in range', () => {
  const s = syntax.integer({ min: 1, max: 255 });
  assert.equal(s.parse('1'), 1);
  assert.equal(s.parse('0xFF'), 255);
  for (const text of ['', '-1', '1.5', '1e2', 'x', ' 1', '0x']) refuses(s, text, /not a whole number/);
  for (const text of ['0', '256', '99999999999999999999']) refuses(s, text, /not between 1 and 255/);
});

test('a choice names the words and the nearest one', () => {
  const s = syntax.choice('stdout', 'sink');
  assert.equal(s.parse('sink'), 'sink');
  refuses(s, 'sinc', /^"sinc" is not one of stdout, sink \(did you mean sink\?\)$/);
});

test('paths are not empty and hold no NUL', () => {
  assert.equal(syntax.path().parse('/a b'), '/a b');
  refuses(syntax.path(), '', /empty/);
  refuses(syntax.path(), 'a\0b', /NUL/);
});

const disk = syntax.keyValues(
  {
    path: syntax.required(syntax.path(), 'the image'),
    size: syntax.optional(syntax.integer({ min: 1, max: 9 }), 'its size'),
    mode: syntax.defaulted(syntax.choice('fast', 'safe'), 'safe', 'how'),
    ro: syntax.boolean('read-only'),
  },
  { first: 'path' },
);

test('a key with one or more words', () => {
  const s = syntax.keyValues({ allow: syntax.optional(syntax.oneOrMore(syntax.choice('a', 'b')), 'what') });
  assert.deepEqual(s.parse('allow=a'), { allow: ['a'] });
  assert.deepEqual(s.parse('allow=[a,b]'), { allow: ['a', 'b'] });
  assert.deepEqual(s.parse('allow=[]'), { allow: [] });
  refuses(s, 'allow=[a,c]', /^allow: "c" is not one of a, b/);
  refuses(s, 'allow=[[a]]', /^allow: a list has plain words only$/);
  refuses(s, 'allow=[a=b]', /^allow: a list has plain words only$/);
  refuses(s, '[a]', /^this option takes no list$/);
  refuses(s, 'alow=[a]', /^unknown key "alow" \(did you mean allow\?\)$/);
  refuses(s, 'constructor=[a]', /^unknown key "constructor"/);
});

test('a structured value: first key left out, defaults, flags', () => {
  assert.deepEqual(disk.parse('a.img'), { path: 'a.img', size: undefined, mode: 'safe', ro: false });
  assert.deepEqual(disk.parse('path=b,ro,size=3,mode=fast'), { path: 'b', size: 3, mode: 'fast', ro: true });
  assert.deepEqual(disk.parse('c,ro=true').ro, true);
  assert.deepEqual(disk.parse('c,ro=false').ro, false);
});

test('a structured value that is wrong is refused with the key that is wrong', () => {
  refuses(disk, 'ro', /^path=PATH is missing$/);
  refuses(disk, 'a,path=b', /^path is given twice$/);
  refuses(disk, 'a,size=0', /^size: 0 is not between 1 and 9$/);
  refuses(disk, 'a,size', /^size needs a value: size=N$/);
  refuses(disk, 'a,siez=1', /^unknown key "siez" \(did you mean size\?\)$/);
  refuses(disk, 'a,ro=maybe', /^ro: "maybe" is not one of true, false$/);
  refuses(disk, 'a,size=[1,2]', /^size takes no list$/);
  refuses(disk, '[a]', /takes no list$/);
  refuses(disk, 'a,__proto__=1', /^unknown key "__proto__"/);
  refuses(disk, 'a,constructor', /^unknown key "constructor"/);
});

test('help of the keys comes from the same declaration', () => {
  assert.deepEqual(disk.keys, [
    { usage: 'path=PATH', help: 'the image' },
    { usage: 'size=N', help: 'its size' },
    { usage: 'mode=fast|safe', help: 'how [default: safe]' },
    { usage: 'ro', help: 'read-only' },
  ]);
});

test('sizes with units of 1024', () => {
  const s = syntax.size();
  const sizes = { '512': 512, '4K': 4096, '4k': 4096, '1.5G': 1.5 * 2 ** 30, '2MiB': 2 << 20, '1T': 2 ** 40, '0': 0 };
  for (const [text, bytes] of Object.entries(sizes)) assert.equal(s.parse(text), bytes, text);
  refuses(s, '', /is not a size such as 10G/);
  refuses(s, '-1', /is not a size/);
  refuses(s, '10X', /is not a size/);
  refuses(s, '1.3K', /is not a whole number of bytes/);
  refuses(s, '9000P', /too many/);
});
