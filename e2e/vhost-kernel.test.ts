/** Devices whose queues the host's kernel serves. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canOpen } from '../src/base/cpu-info.ts';
import { fetchProgram } from '../tools/guest-program.ts';
import { noTap, runVirtioGuest } from './virtio-guest.ts';

const missing = (device: string) => (canOpen(device) ? undefined : `${device} does not open here`);

test('a network card of vhost-net', { skip: missing('/dev/vhost-net') ?? noTap() ?? false }, async () => {
  const card = ['--vhost-net', '--host_ip', '10.99.8.1', '--netmask', '255.255.255.0', '--mac', '02:00:00:00:00:08'];
  const { finished, outputs } = await runVirtioGuest(card, [
    'cat /sys/class/net/eth0/address; ifconfig eth0 10.99.8.2 netmask 255.255.255.0 up; ping -c 3 10.99.8.1',
    'ifconfig eth0 down; rmmod virtio_net; insmod virtio_net.ko; ifconfig eth0 10.99.8.2 up; ping -c 1 -s 1400 10.99.8.1',
  ]);
  assert.match(outputs[0]!.output, /^02:00:00:00:00:08\n[\s\S]* 3 packets received, 0% packet loss/, finished.stderr);
  assert.match(outputs[1]!.output, / 1 packets received/);
});

test('sockets of vhost-vsock', { skip: missing('/dev/vhost-vsock') ?? false }, async () => {
  const socat = await fetchProgram('socat');
  const { finished, outputs } = await runVirtioGuest(
    ['--cid', '4711'],
    // Nobody listens there; that it is the host who says so takes both directions.
    [`${socat.command} VSOCK-CONNECT:2:4711 - 2>&1 </dev/null`],
    { modules: ['vsock'], files: socat.files },
  );
  assert.match(outputs[0]!.output, /reset|refused/, finished.stderr);
});
