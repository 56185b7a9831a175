/**
 * Device processes that are killed at random while a driver works them to the full: nothing is lost, done twice or
 * forgotten. CROSVM_TEST_KILLS says how often (for each case).
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { close } from '../src/base/fd.ts';
import type { DiskExecutor, DiskRequest } from '../src/device-process/device-spec.ts';
import { NO_TRUST } from '../src/disk/image-trust.ts';
import { Random } from '../src/disk/testing/random.ts';
import { featureSet } from '../src/virtio/features.ts';
import { VIRTIO_NET_F_MRG_RXBUF } from '../src/virtio/net/net-config.ts';
import { type MockDriver, RING_FORMATS, type RingFormat } from '../src/virtio/testing/mock-guest.ts';
import type { OwnDevice } from '../src/vm/devices/own-device.ts';
import { OwnDisk } from '../src/vm/devices/own-disk.ts';
import { DiskCustomer } from './disk-customer.ts';
import { MortalDevice } from './mortal-device.ts';
import { NetCustomer } from './net-customer.ts';
import { missingProgram, URING } from './virtio-guest.ts';

const KILLS = Number(process.env['CROSVM_TEST_KILLS'] ?? 10);
/** A device that does nothing for so long hangs; in milliseconds. */
const PATIENCE = 20_000;
const MEMORY = 256 << 20;

const folder = mkdtempSync(join(tmpdir(), 'crosvm-losses-'));
after(() => rmSync(folder, { recursive: true }));

function diskRequest(path: string, executor: DiskExecutor = 'epoll'): DiskRequest {
  const more = { executor, writable: true, sparse: true, blockSize: 512, id: '', queues: 1, direct: false, lock: true };
  return { path, trust: NO_TRUST, ...more };
}

/** Works a device until it was killed often enough. `turn` is the driver's; it returns whether anything came back. */
async function workAndKill(
  device: MortalDevice,
  random: Random,
  turn: (isOver: boolean) => boolean,
  isDone: () => boolean,
  end: () => void = () => device.kill(),
): Promise<void> {
  await device
    .start()
    .catch(async (error) => assert.fail(`${error.message} (${await device.end})\n${device.said.join('\n')}`));
  let lastProgress = performance.now();
  let nextKill = lastProgress + random.below(60);
  while (device.kills < KILLS || !isDone()) {
    const now = performance.now();
    if (device.kills < KILLS && now > nextKill) {
      end();
      // Often when the next one has just come up, and sometimes before.
      nextKill = now + random.below(random.chance(80) ? 120 : 20);
    }
    if (turn(device.kills >= KILLS)) lastProgress = now;
    assert.ok(now - lastProgress < PATIENCE, `nothing has come back since ${device.kills} kills`);
    await setImmediate();
  }
}

const BLOCKS = 256;
const BLOCK = 1024;

/** Kills the process of a disk while it is written and read; what it should have is `check`ed when that is over. */
async function killDisk(
  spec: DiskRequest,
  format: RingFormat,
  check: (customer: DiskCustomer) => void,
  how: 'kill' | 'move' = 'kill',
): Promise<void> {
  const random = new Random(Date.now());
  const size = 16;
  const device = new MortalDevice(new OwnDisk(spec), { format, queues: [size], memory: MEMORY });
  const memory = MEMORY - (1 << 20);
  const customer = new DiskCustomer(device.drivers[0]!, random, { blocks: BLOCKS, spread: BLOCK * 7, size, memory });
  const turn = (isOver: boolean) => {
    if (!isOver) customer.fill();
    device.kick();
    device.awaitInterrupt(0);
    const before = customer.done;
    customer.take();
    return customer.done > before;
  };
  try {
    await workAndKill(
      device,
      random,
      turn,
      () => customer.isIdle,
      () => device[how](),
    );
  } finally {
    await device.close();
  }
  check(customer);
}

for (const format of RING_FORMATS) {
  test(`a disk on a ${format} ring whose process is killed at random`, async () => {
    const path = join(folder, `disk-${format}`);
    writeFileSync(path, '');
    truncateSync(path, BLOCKS * BLOCK * 7);
    // One of them with requests that the system carries out, and answers that come in any order.
    const request = diskRequest(path, format === 'packed' && URING !== '' ? 'uring' : 'epoll');
    await killDisk(request, format, (customer) => customer.checkAll(new Uint8Array(readFileSync(path))));
  });
}

for (const format of RING_FORMATS) {
  test(`a disk on a ${format} ring that is handed from process to process`, async () => {
    const path = join(folder, `moved-${format}`);
    writeFileSync(path, '');
    truncateSync(path, BLOCKS * BLOCK * 7);
    const check = (customer: DiskCustomer) => customer.checkAll(new Uint8Array(readFileSync(path)));
    await killDisk(diskRequest(path), format, check, 'move');
  });
}

test('a temporary overlay whose process is killed at random, and is asked for by io_uring', async () => {
  const path = join(folder, 'below');
  writeFileSync(path, Buffer.alloc(BLOCKS * BLOCK * 7));
  const before = readFileSync(path);
  const spec = diskRequest(path, URING === '' ? 'epoll' : 'uring');
  await killDisk({ ...spec, overlay: { kind: 'temporary' } }, 'split', () => {
    assert.ok(readFileSync(path).equals(before));
  });
});

const noQemuImg = missingProgram('qemu-img') ?? false;

for (const overlay of [false, true]) {
  test(`a qcow2 ${overlay ? 'overlay' : 'disk'} whose process is killed at random`, { skip: noQemuImg }, async () => {
    const path = join(folder, `qcow2-${overlay}`);
    const image = overlay ? `${path}.overlay` : path;
    // Small clusters, so that tables change all the time.
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', 'cluster_size=2k', path, `${BLOCKS * BLOCK * 7}`]);
    const spec = diskRequest(path);
    await killDisk(overlay ? { ...spec, overlay: { kind: 'file', path: image } } : spec, 'split', (customer) => {
      // Clusters may be lost (3): whoever was killed had taken them for something.
      const { status, stdout } = spawnSync('qemu-img', ['check', image], { encoding: 'utf8' });
      assert.ok(status === 0 || status === 3, stdout);
      const raw = `${path}.raw`;
      execFileSync('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', image, raw]);
      customer.checkAll(new Uint8Array(readFileSync(raw)));
    });
  });
}

for (const format of RING_FORMATS) {
  test(`a network card on ${format} rings whose process is killed at random`, async () => {
    const random = new Random(Date.now());
    const size = 8;
    const customer = new NetCustomer(random, size, MEMORY - (1 << 20));
    const own: OwnDevice = {
      async give() {
        const fd = customer.newWire();
        return { spec: { type: 'net', wire: { kind: 'stream', fd } }, [Symbol.dispose]: () => close(fd) };
      },
      close() {},
    };
    const options = {
      format,
      queues: [size, size, size],
      features: featureSet(VIRTIO_NET_F_MRG_RXBUF),
      memory: MEMORY,
    };
    const device = new MortalDevice(own, options);
    const [receiving, sending] = device.drivers as [MockDriver, MockDriver];
    let enough = { received: 0, sent: 0 };
    const turn = (isOver: boolean) => {
      const { received, sent } = customer;
      if (!isOver) enough = { received: received + 100, sent: sent + 100 };
      customer.fill(receiving, sending);
      device.kick();
      customer.turnPeer();
      device.awaitInterrupt(0);
      customer.take(receiving, sending);
      // Both directions have to go on.
      return customer.received > received && (customer.sent > sent || random.chance(50));
    };
    const goesOn = () => customer.received >= enough.received && customer.sent >= enough.sent;
    try {
      await workAndKill(device, random, turn, goesOn);
    } finally {
      await device.close();
      customer.close();
    }
  });
}
