/** Our devices behind QEMU's front end, used by Debian's kernel: every device is what the specification says, not only what we think. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fetchProgram } from '../tools/guest-program.ts';
import { DeviceProcess, runQemuGuest, vhostUserDevice } from './qemu-guest.ts';
import { missingProgram, noTap, URING } from './virtio-guest.ts';

const skip = missingProgram('qemu-system-x86_64') ?? false;
const folder = mkdtempSync(join(tmpdir(), 'crosvm-qemu-'));
after(() => rmSync(folder, { recursive: true }));

const MIB = 1 << 20;

/** Numbers its bytes, so that each block is another. */
function numbered(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at += 4) bytes.writeUInt32LE((at * 2654435761) >>> 0, at);
  return bytes;
}

async function sha256(bytes: Buffer): Promise<string> {
  return Buffer.from(await crypto.subtle.digest('SHA-256', new Uint8Array(bytes))).toString('hex');
}

for (const ring of ['', ',packed=on']) {
  test(`a disk${ring}: reads, writes, flush, discard, serial number, several queues`, { skip }, async () => {
    const image = join(folder, 'disk');
    const before = numbered(8 * MIB);
    writeFileSync(image, before);
    const device = await DeviceProcess.start(join(folder, 'block'), [
      ...['block', '--block-file', `${image},id=numbers,queues=2${ring === '' ? '' : URING}`],
    ]);
    const outputs = await runQemuGuest(
      [
        ...vhostUserDevice('vhost-user-blk-pci', device.socket).map((word) =>
          word.replace(/^vhost-user-blk-pci,/, `$&num-queues=2,config-wce=off${ring},`),
        ),
        '-smp',
        '2',
      ],
      [
        'blockdev --getsize64 /dev/vda; cat /sys/block/vda/serial; ls /sys/block/vda/mq | wc -l',
        'sha256sum </dev/vda; dd if=/dev/vda bs=512 skip=3 count=5 iflag=direct 2>/dev/null | sha256sum',
        'dd if=/dev/zero bs=1M count=1 2>/dev/null | tr "\\0" A | dd of=/dev/vda bs=64k seek=16 conv=fsync 2>/dev/null',
        'dd if=/dev/vda bs=1M skip=1 count=1 iflag=direct 2>/dev/null | tr -d A | wc -c',
        'blkdiscard -o 2097152 -l 1048576 /dev/vda',
        'cat /sys/block/vda/queue/discard_max_bytes',
      ],
    );
    const ended = await device.end();
    assert.deepEqual(ended, { status: 0, stderr: '' });
    assert.equal(outputs[0]!.output, `${8 * MIB}\nnumbers2\n`);
    assert.equal(outputs[1]!.output, `${await sha256(before)}  -\n${await sha256(before.subarray(1536, 4096))}  -\n`);
    const expected = Buffer.from(before);
    expected.fill('A', MIB, 2 * MIB).fill(0, 2 * MIB, 3 * MIB);
    // (A difference of buffers this long takes minutes to print.)
    assert.ok(readFileSync(image).equals(expected), 'the image holds what the guest wrote');
  });
}

test('entropy', { skip }, async () => {
  const device = await DeviceProcess.start(join(folder, 'rng'), ['rng']);
  const outputs = await runQemuGuest(vhostUserDevice('vhost-user-rng-pci', device.socket), [
    'cat /sys/class/misc/hw_random/rng_current; dd if=/dev/hwrng bs=1000 count=100 iflag=fullblock 2>/dev/null | wc -c',
    'dd if=/dev/hwrng bs=4096 count=4 iflag=fullblock 2>/dev/null | gzip | wc -c',
  ]);
  assert.deepEqual(await device.end(), { status: 0, stderr: '' });
  assert.equal(outputs[0]!.output, 'virtio_rng.0\n100000\n');
  // What is random does not get smaller.
  assert.ok(Number(outputs[1]!.output) > 16384);
});

test('a shared folder', { skip }, async () => {
  const share = join(folder, 'share');
  mkdirSync(share);
  writeFileSync(join(share, 'file'), numbered(3 * MIB));
  const device = await DeviceProcess.start(join(folder, 'fs'), [
    ...['fs', '--shared-dir', share, '--tag', 'unused', '--cfg', 'queues=2'],
  ]);
  const outputs = await runQemuGuest(
    vhostUserDevice('vhost-user-fs-pci', device.socket).map((word) =>
      word.replace(/^vhost-user-fs-pci,/, '$&tag=share,num-request-queues=2,'),
    ),
    [
      'mount -t virtiofs share /mnt && sha256sum </mnt/file',
      'cp /mnt/file /mnt/copy; mkdir /mnt/d; mv /mnt/copy /mnt/d; ln -s d/copy /mnt/link; sync; ls /mnt; umount /mnt',
      'mount -t virtiofs share /mnt && cmp /mnt/file /mnt/link && echo the same',
    ],
    { modules: ['fs'] },
  );
  assert.deepEqual(await device.end(), { status: 0, stderr: '' });
  assert.equal(outputs[0]!.output, `${await sha256(numbered(3 * MIB))}  -\n`);
  assert.equal(outputs[1]!.output.replace(/\s+/g, ' '), 'd file link ');
  assert.equal(outputs[2]!.output, 'the same\n');
  assert.ok(readFileSync(join(share, 'd', 'copy')).equals(numbered(3 * MIB)), 'the host has the copy');
});

/** Everything that comes from a socket, which stays open for what is still to be sent. */
function allOf(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  return new Promise((resolve, reject) => {
    socket.on('data', (part: Buffer) => parts.push(part));
    socket.once('end', () => resolve(Buffer.concat(parts))).once('error', reject);
  });
}

test('sockets carry megabytes between guest and host, whoever connects', { skip }, async () => {
  const sent = numbered(3 * MIB);
  const hostPath = join(folder, 'guest');
  const heard = Promise.withResolvers<Buffer>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    heard.resolve(allOf(socket));
    socket.end(sent);
  }).listen(`${hostPath}_5000`);
  const device = await DeviceProcess.start(join(folder, 'vsock'), ['vsock', '--cid', '9', '--host-path', hostPath]);
  const socat = await fetchProgram('socat');
  const echoed = throughEcho(hostPath, sent.subarray(0, MIB));
  const outputs = await runQemuGuest(
    vhostUserDevice('vhost-user-vsock-pci', device.socket),
    [
      `${socat.command} -t 60 - VSOCK-CONNECT:2:5000 </dev/null | sha256sum`,
      `${socat.command} VSOCK-CONNECT:2:5001 - 2>&1`,
      `${socat.command} -t 60 VSOCK-LISTEN:7000 EXEC:cat`,
    ],
    { modules: ['vsock'], files: socat.files },
  );
  server.close();
  assert.deepEqual(await device.end(), { status: 0, stderr: '' });
  assert.equal(outputs[0]!.output, `${await sha256(sent)}  -\n`);
  assert.equal((await heard.promise).length, 0);
  assert.match(outputs[1]!.output, /reset|refused/);
  const [greeting, rest] = split(await echoed);
  assert.match(greeting, /^OK \d+$/);
  assert.ok(rest.equals(sent.subarray(0, MIB)), 'the guest has sent back what it heard');
});

/** What port 7000 of the guest answers to `data`, as soon as anybody listens there. */
async function throughEcho(path: string, data: Buffer): Promise<Buffer> {
  for (;;) {
    const socket = createConnection({ path, allowHalfOpen: true });
    socket.on('error', () => {});
    socket.write('CONNECT 7000\n');
    socket.end(data);
    const answer = await allOf(socket).catch(() => Buffer.alloc(0));
    if (answer.length > 0) return answer;
    await sleep(200);
  }
}

/** The first line, and what follows it. */
function split(bytes: Buffer): [string, Buffer] {
  const end = bytes.indexOf('\n');
  return [bytes.subarray(0, end).toString(), bytes.subarray(end + 1)];
}

test('a network card on a TAP device', { skip: skip || (noTap() ?? false) }, async () => {
  const sent = numbered(3 * MIB);
  const device = await DeviceProcess.start(join(folder, 'net'), [
    ...['net', '--tap-name', 'crosvme2e', '--host-ip', '10.99.96.1', '--netmask', '255.255.255.0'],
  ]);
  const heard = Promise.withResolvers<Buffer>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    heard.resolve(allOf(socket));
    socket.end(sent);
  }).listen(0, '10.99.96.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const outputs = await runQemuGuest(
    [
      ...['-chardev', `socket,id=net,path=${device.socket}`, '-netdev', 'vhost-user,id=net,chardev=net'],
      // Without MSI-X, because QEMU 7.2 has a defect with it for this device where KVM is not used.
      ...['-device', 'virtio-net-pci,netdev=net,mac=52:54:00:00:00:01,vectors=0'],
    ],
    [
      'ip link set eth0 up && ip addr add 10.99.96.2/24 dev eth0 && ping -c 3 -i 0.2 -s 1400 10.99.96.1 | grep received',
      `head -c 2000000 /dev/urandom >file; sha256sum <file; nc 10.99.96.1 ${port} <file | sha256sum`,
    ],
  );
  server.close();
  assert.deepEqual(await device.end(), { status: 0, stderr: '' });
  assert.match(outputs[0]!.output, /3 packets received/);
  assert.equal(outputs[1]!.output, `${await sha256(await heard.promise)}  -\n${await sha256(sent)}  -\n`);
});
