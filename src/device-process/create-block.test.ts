import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { IoUring } from '../base/io-uring.ts';
import { NO_TRUST } from '../disk/image-trust.ts';
import { DeviceHarness } from '../virtio/testing/device-harness.ts';
import { prepareBlock } from './create-block.ts';
import type { DiskExecutor, DiskRequest } from './device-spec.ts';
import { openDiskFiles } from './open-disk-files.ts';

const WITHOUT_IO_URING = fileURLToPath(new URL('./testing/without-io-uring.ts', import.meta.url));
const probe = IoUring.open(1);
probe?.close();
const skip = probe === undefined && 'this kernel has no io_uring for us';

const folder = mkdtempSync(join(tmpdir(), 'create-block-'));
after(() => rmSync(folder, { recursive: true }));
const image = join(folder, 'disk.img');
writeFileSync(image, Buffer.alloc(65536));

function spec(executor: DiskExecutor | undefined, direct: boolean): DiskRequest {
  return {
    ...{ path: image, trust: NO_TRUST, writable: true, sparse: true, blockSize: 512, id: '' },
    ...{ queues: 1, lock: false, executor, direct },
  };
}

const openRings = () =>
  readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).includes('io_uring');
    } catch {
      return false; // that of the folder
    }
  }).length;

test('a ring is made for who asks for it, and goes with the device', { skip }, () => {
  const before = openRings(); // Node has some
  for (const [executor, rings] of [
    ['uring', 1],
    ['epoll', 0],
    [undefined, 0],
  ] as const) {
    const { device } = prepareBlock(openDiskFiles(spec(executor, false)).spec).finish();
    new DeviceHarness(device, 'split');
    assert.equal(openRings(), before + rings);
    device.close();
    assert.equal(openRings(), before);
  }
});

test('where the host refuses io_uring, only who asked for it hears of it', () => {
  const outcome = (given: DiskRequest) =>
    execFileSync(process.execPath, [WITHOUT_IO_URING, JSON.stringify(given)], { encoding: 'utf8' });
  assert.match(
    outcome(spec('uring', false)),
    /^[^\n]*disk\.img: async-executor=uring: the host does not let us use io_uring[^\n]*\n$/,
  );
  assert.equal(outcome(spec('epoll', false)), 'made\n');
  assert.equal(outcome(spec(undefined, false)), 'made\n');
});
