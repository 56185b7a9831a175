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

test('requests about devices, as the original has them', () => {
  for (const text of [
    '{"BalloonCommand":{"Adjust":{"num_bytes":4096}}}',
    '{"BalloonCommand":"Stats"}',
    '{"DiskCommand":{"disk_index":2,"command":{"Resize":{"new_size":1024}}}}',
    '"Suspend"',
    '"Resume"',
    '"Powerbtn"',
  ]) {
    assert.equal(words(encodeRequest(decodeRequest(bytes(text)))), text);
  }
});

test('an answer about the balloon', () => {
  const answer = { BalloonStats: { stats: { free_memory: 7 }, balloon_actual: 4096 } };
  assert.deepEqual(decodeResponse(encodeResponse(answer)), answer);
  for (const stats of [{ 'free\u001b[2J': 7 }, { free_memory: 'x' }, { free_memory: -1 }, 7]) {
    assert.throws(() => decodeResponse(bytes(JSON.stringify({ BalloonStats: { stats, balloon_actual: 1 } }))), {
      code: 'E_CONTROL_MESSAGE',
    });
  }
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
  [
    '{"BalloonCommand":{"Adjust":{"num_bytes":1e300}}}',
    'BalloonCommand: num_bytes is not a whole number from 0 to 9007199254740991',
  ],
  ['{"BalloonCommand":"Explode"}', 'BalloonCommand: the payload is not an object'],
  ['{"BalloonCommand":{"Adjust":null}}', 'BalloonCommand: Adjust is not an object'],
  [
    '{"DiskCommand":{"disk_index":-1,"command":{"Resize":{"new_size":1}}}}',
    'DiskCommand: disk_index is not a whole number from 0 to 255',
  ],
  ['{"DiskCommand":{"disk_index":0,"command":"Resize"}}', 'DiskCommand: command is not an object'],
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
