/** Our devices behind QEMU's front end, used by Debian's kernel: every device is what the specification says, not only what we think. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { DeviceProcess, runQemuGuest, vhostUserDevice } from './qemu-guest.ts';
import { missingProgram } from './virtio-guest.ts';

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

for (const ring of ['', ',packed=on']) {
  test(`a disk${ring}: reads, writes, flush, discard, serial number, several queues`, { skip }, async () => {
    const image = join(folder, 'disk');
    const before = numbered(8 * MIB);
    writeFileSync(image, before);
    const device = await DeviceProcess.start(join(folder, 'block'), [
      ...['block', '--block-file', `${image},id=numbers,queues=2`],
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
    const digest = async (bytes: Buffer) =>
      Buffer.from(await crypto.subtle.digest('SHA-256', new Uint8Array(bytes))).toString('hex');
    assert.equal(outputs[0]!.output, `${8 * MIB}\nnumbers2\n`);
    assert.equal(outputs[1]!.output, `${await digest(before)}  -\n${await digest(before.subarray(1536, 4096))}  -\n`);
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
