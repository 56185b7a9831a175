import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forwardedPort, ipv4, macAddress } from './network.ts';

test('addresses of the network', () => {
  assert.deepEqual(ipv4.parse('10.0.255.1'), [10, 0, 255, 1]);
  for (const bad of ['', '10.0.0', '10.0.0.256', '10.0.0.1.2', '10.0.0.-1', '0x0a.0.0.1', ' 1.2.3.4']) {
    assert.throws(() => ipv4.parse(bad), { code: 'E_OPTION' }, bad);
  }
  assert.deepEqual(macAddress.parse('52:54:00:aB:cd:EF'), [0x52, 0x54, 0, 0xab, 0xcd, 0xef]);
  for (const bad of ['', '52:54:00:ab:cd', '52:54:00:ab:cd:ef:01', '525400abcdef', '52:54:00:ab:cd:g0']) {
    assert.throws(() => macAddress.parse(bad), { code: 'E_OPTION' }, bad);
  }
  assert.throws(() => macAddress.parse('ff:ff:ff:ff:ff:ff'), /address of a group/);
});

test('ports that are forwarded', () => {
  assert.deepEqual(forwardedPort.parse('2222:22'), { host: 2222, guest: 22 });
  for (const bad of ['', '22', '0:22', '22:65536', '1:2:3', 'a:1', '-1:2']) {
    assert.throws(() => forwardedPort.parse(bad), { code: 'E_OPTION' }, bad);
  }
});
