import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeRequest, decodeResponse, encodeRequest, encodeResponse } from './codec.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const words = (packet: Uint8Array) => new TextDecoder().decode(packet);

test('requests on the wire', () => {
  assert.equal(words(encodeRequest({ name: 'Exit', payload: undefined })), '"Exit"');
  assert.deepEqual(decodeRequest(bytes(' "Exit" ')), { name: 'Exit', payload: undefined });
});

test('a request with a payload', () => {
  assert.equal(words(encodeRequest({ name: 'Stats', payload: { first: 16 } })), '{"Stats":{"first":16}}');
  assert.deepEqual(decodeRequest(bytes('{"Stats":{"first":3}}')), { name: 'Stats', payload: { first: 3 } });
});

test('responses on the wire', () => {
  assert.equal(words(encodeResponse('Ok')), '"Ok"');
  assert.equal(words(encodeResponse({ Err: 'no' })), '{"Err":"no"}');
  assert.equal(decodeResponse(bytes('"Ok"')), 'Ok');
  assert.deepEqual(decodeResponse(bytes('{"Err":"no"}')), { Err: 'no' });
  assert.deepEqual(decodeResponse(bytes('{"Err":22}')), { Err: '22' });
});

test('an answer with statistics', () => {
  const answer = { Stats: { version: 1, hypervisor: 'kvm', cpus: 1, vcpus: [{ exits: { halts: 2 } }] } } as const;
  assert.deepEqual(decodeResponse(encodeResponse(answer)), answer);
});

for (const [text, message] of [
  ['', 'message is not JSON'],
  ['Exit', 'message is not JSON'],
  ['"Exit"x', 'message is not JSON'],
  ['"Explode"', 'unknown request "Explode"'],
  ['"toString"', 'unknown request "toString"'],
  ['"__proto__"', 'unknown request "__proto__"'],
  ['{"Exit":1}', 'Exit takes no payload'],
  ['{"Exit":null}', 'Exit takes no payload'],
  ['{"Exit":1,"Exit2":2}', 'message is neither a name nor an object of one name'],
  ['"Stats"', 'Stats takes a payload'],
  ['{"Stats":null}', 'Stats: the payload is not an object'],
  ['{"Stats":{"first":-1}}', 'Stats: first is not a whole number from 0 to 65536'],
  ['{}', 'message is neither a name nor an object of one name'],
  ['null', 'message is neither a name nor an object of one name'],
  ['["Exit"]', 'message is neither a name nor an object of one name'],
  ['7', 'message is neither a name nor an object of one name'],
  [`"${'x'.repeat(1000)}"`, `unknown request "${'x'.repeat(76)}...`],
  ['['.repeat(60_000), 'message is not JSON'],
] as const) {
  test(`refuses the request ${text.slice(0, 24)}`, () => {
    assert.throws(() => decodeRequest(bytes(text)), { code: 'E_CONTROL_MESSAGE', message });
  });
}

test('refuses a packet that is not UTF-8', () => {
  assert.throws(() => decodeRequest(Uint8Array.of(0x22, 0xff, 0x22)), /not JSON/);
});

test('refuses a response that is none', () => {
  for (const text of ['"Exit"', '{"Ok":1}', '"Err"', '"Stats"', '{"Stats":{"version":9}}', '1']) {
    assert.throws(() => decodeResponse(bytes(text)), { code: 'E_CONTROL_MESSAGE' }, text);
  }
});
