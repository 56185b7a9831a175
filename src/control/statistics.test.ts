import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseStatisticsAnswer, parseStatisticsRequest, VCPUS_PER_ANSWER } from './statistics.ts';

test('a request has a number to begin with', () => {
  assert.deepEqual(parseStatisticsRequest({ first: 16 }), { first: 16 });
  assert.deepEqual(parseStatisticsRequest({ first: 0, more: 'is for others' }), { first: 0 });
  for (const payload of [{}, { first: -1 }, { first: 0.5 }, { first: '0' }, { first: 1e9 }, [], null, undefined, 'x']) {
    assert.throws(() => parseStatisticsRequest(payload), TypeError, JSON.stringify(payload));
  }
});

const GOOD = {
  version: 1,
  hypervisor: 'soft',
  cpus: 2,
  vcpus: [{ exits: { halts: 1 }, exceptions: { '#PF': 2 ** 40 } }],
};

test('an answer keeps what counters there are', () => {
  assert.deepEqual(parseStatisticsAnswer(GOOD), GOOD);
  assert.deepEqual(parseStatisticsAnswer({ ...GOOD, vcpus: [] }).vcpus, []);
});

test('an answer that is none is refused', () => {
  const vcpu = (counters: unknown) => ({ ...GOOD, vcpus: [counters] });
  for (const [payload, message] of [
    [null, 'the payload is not an object'],
    [{ ...GOOD, version: 2 }, 'the version is not 1'],
    [{ ...GOOD, hypervisor: 'xen' }, 'the hypervisor is neither kvm nor soft'],
    [{ ...GOOD, cpus: 1e6 }, 'cpus is not a whole number from 0 to 65536'],
    [{ ...GOOD, vcpus: {} }, 'vcpus is no list of vCPUs'],
    [{ ...GOOD, vcpus: Array(VCPUS_PER_ANSWER + 1).fill({}) }, 'vcpus is no list of vCPUs'],
    [vcpu(7), 'a group of counters is not an object'],
    [vcpu([]), 'a group of counters is not an object'],
    [vcpu({ a: -1 }), 'a is not a count'],
    [vcpu({ a: 'many' }), 'a group of counters is not an object'],
    [vcpu({ 'a\x1b[2J': 1 }), 'a counter has no name'],
    [vcpu({ ['a'.repeat(33)]: 1 }), 'a counter has no name'],
    [vcpu({ a: { b: { c: { d: { e: { f: 1 } } } } } }), 'groups of counters are nested too deep'],
  ] as const) {
    assert.throws(() => parseStatisticsAnswer(payload), new TypeError(message), message);
  }
  assert.throws(() =>
    parseStatisticsAnswer(JSON.parse('{"version":1,"hypervisor":"kvm","cpus":1,"vcpus":[{"a":1e999}]}')),
  );
});

test('a counter that is named like an inherited property is a counter', () => {
  const answer = parseStatisticsAnswer(JSON.parse(JSON.stringify(GOOD).replace('"halts"', '"constructor"')));
  assert.deepEqual(Object.keys((answer.vcpus[0] as { exits: object }).exits), ['constructor']);
});
