/** Our own devices, each in a process of its own, under our own VMM on the software CPU. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { DeviceProcess } from './qemu-guest.ts';
import { noTap, runVirtioGuest } from './virtio-guest.ts';

const folder = mkdtempSync(join(tmpdir(), 'crosvm-devices-'));
after(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return Buffer.from(await crypto.subtle.digest('SHA-256', bytes)).toString('hex');
}

test('a console carries a megabyte both ways unchanged, on terminals and on channels', async () => {
  const sent = crypto.getRandomValues(new Uint8Array(65536));
  writeFileSync(at('sent'), Buffer.concat(new Array(16).fill(sent)));
  const ports = ['--output-file', at('hvc0'), '--port', `agent,input=${at('sent')},output=${at('received')}`];
  const device = await DeviceProcess.start(at('console'), ['console', ...ports]);
  const { outputs } = await runVirtioGuest(
    ['--vhost-user', `type=console,socket=${device.socket}`],
    [
      'cat /sys/class/virtio-ports/*/name; echo hello >/dev/hvc0',
      'port=$(echo /dev/vport*p1); head -c 1048576 $port >/root/copy; sha256sum </root/copy; cat /root/copy >$port',
    ],
  );
  assert.deepEqual(await device.end(), { status: 0, stderr: '' });
  assert.equal(outputs[0]!.output, 'agent\n');
  assert.equal(outputs[1]!.output, `${await sha256(new Uint8Array(readFileSync(at('sent'))))}  -\n`);
  assert.match(readFileSync(at('hvc0'), 'utf8'), /hello\r\n/);
  assert.ok(readFileSync(at('received')).equals(readFileSync(at('sent'))));
});

test('a balloon takes memory of the guest', async () => {
  const device = await DeviceProcess.start(at('balloon'), ['balloon', '--strict', '--size', `${64 << 20}`]);
  const { outputs } = await runVirtioGuest(
    ['--vhost-user', `type=balloon,socket=${device.socket}`],
    [
      // Until it takes no more.
      'a=0; b=1; while [ $a != $b ]; do a=$b; sleep 1; b=$(awk "/MemTotal/ {print \\$2}" /proc/meminfo); done; echo $b',
      'rmmod virtio_balloon; awk "/MemTotal/ {print \\$2}" /proc/meminfo',
    ],
  );
  assert.deepEqual(await device.end(), { status: 0, stderr: '' });
  const [inflated, deflated] = outputs.map(({ output }) => Number(output));
  assert.equal(deflated! - inflated!, 64 << 10);
});

test('a network card on a TAP device', { skip: noTap() ?? false }, async () => {
  const sent = crypto.getRandomValues(new Uint8Array(65536));
  const device = await DeviceProcess.start(at('net'), [
    ...['net', '--tap-name', 'crosvmsoft', '--host-ip', '10.99.95.1', '--netmask', '255.255.255.0'],
    ...['--mac', '52:54:00:12:34:56', '--mtu', '1400'],
  ]);
  const server = createServer((socket) => socket.end(Buffer.concat(new Array(32).fill(sent)))).listen(0, '10.99.95.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const { outputs } = await runVirtioGuest(
    ['--vhost-user', `type=net,socket=${device.socket}`],
    [
      'dmesg -n 1; cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu',
      'ip link set eth0 up && ip addr add 10.99.95.2/24 dev eth0 && ping -c 3 -i 0.2 10.99.95.1 | grep received',
      `nc 10.99.95.1 ${port} </dev/null | sha256sum`,
    ],
  );
  server.close();
  assert.deepEqual(await device.end(), { status: 0, stderr: '' });
  assert.equal(outputs[0]!.output, '52:54:00:12:34:56\n1400\n');
  assert.match(outputs[1]!.output, /3 packets received/);
  assert.equal(outputs[2]!.output, `${await sha256(new Uint8Array(Buffer.concat(new Array(32).fill(sent))))}  -\n`);
});
