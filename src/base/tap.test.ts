import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { ScatterList } from '../memory/scatter-list.ts';
import type { NetPort } from '../virtio/net/net-port.ts';
import { waitReadable } from './readable.ts';
import { type InterfaceAddress, makeTap, tapPorts } from './tap.ts';

/** A TAP device that the system gives a number, and its name. */
function newTap(pairs: number, address?: InterfaceAddress): { ports: NetPort[]; fds: number[]; name: string } {
  const fds = makeTap('crosvmtest%d', pairs, address);
  const [, name] = /^iff:\t(.*)$/m.exec(readFileSync(`/proc/self/fdinfo/${fds[0]}`, 'utf8'))!;
  return { ports: tapPorts(fds), fds, name: name! };
}

function why(): string | false {
  try {
    for (const port of newTap(1).ports) port.close();
    return false;
  } catch (error) {
    return `no TAP device can be made here: ${(error as Error).message}`;
  }
}
const skip = why();

function listOf(bytes: Uint8Array): ScatterList {
  const list = new ScatterList();
  list.add({ bytes, address: 0 }, 0, bytes.length);
  return list;
}

test('a TAP device is made, gets an address, carries frames, and goes', { skip }, () => {
  const { ports, name } = newTap(1, { ip: [10, 99, 97, 1], netmask: [255, 255, 255, 0] });
  const [port] = ports;
  assert.match(name, /^crosvmtest\d+$/);
  assert.equal(networkInterfaces()[name]?.[0]?.cidr, '10.99.97.1/24');
  port!.setOffloads({ checksum: true, tso4: true, tso6: true, ecn: true, ufo: true });
  port!.setOffloads({ checksum: false, tso4: false, tso6: false, ecn: false, ufo: false });
  // Who has 10.99.97.1? The host answers.
  const ask = new Uint8Array(12 + 42);
  ask.set(
    [...new Array(6).fill(0xff), 2, 0, 0, 0, 0, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 9, 10, 99, 97, 2],
    12,
  );
  ask.set([10, 99, 97, 1], 12 + 38);
  port!.send(listOf(ask));
  const heard = new Uint8Array(2000);
  let length = 0;
  while (waitReadable(port!.fd, 2000)) {
    length = port!.receive(listOf(heard));
    // An ARP reply, among what else the host says by itself.
    if (heard[12 + 13] === 6 && heard[12 + 21] === 2) break;
  }
  assert.equal(length, 12 + 42);
  assert.deepEqual([...heard.subarray(12 + 28, 12 + 32)], [10, 99, 97, 1]);
  // Frames that are none, and headers that lie, go nowhere.
  port!.send(listOf(new Uint8Array(3)));
  port!.send(listOf(new Uint8Array(60).fill(0xff)));
  port!.close();
  assert.ok(!readFileSync('/proc/net/dev', 'utf8').includes(name));
});

test('several queues of one device', { skip }, () => {
  const { ports, fds, name } = newTap(2);
  assert.equal(ports.length, 2);
  ports[1]!.setActive(false);
  ports[1]!.setActive(false);
  ports[1]!.setActive(true);
  ports[1]!.setActive(false);
  // Who gets it next knows nothing of that.
  tapPorts(fds)[1]!.setActive(false);
  assert.throws(() => makeTap(name, 1), {
    code: 'E_TAP',
    message: /no TAP device, or one with another number of queues/,
  });
  for (const port of ports) port.close();
});

test('names that cannot be', { skip }, () => {
  assert.throws(() => makeTap('a name that is far too long', 1), { code: 'E_TAP' });
  assert.throws(() => makeTap('lo', 1), { code: 'E_TAP' });
});
