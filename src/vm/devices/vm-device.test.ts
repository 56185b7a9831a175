import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { serialSyntax } from '../../cli/options/serial.ts';
import { NO_TRUST } from '../../disk/image-trust.ts';
import { CrosvmError } from '../../errors.ts';
import type { DeviceLauncher } from './launcher.ts';
import type { OwnSource } from './own-source.ts';
import { VmDevice } from './vm-device.ts';

const folder = mkdtempSync(join(tmpdir(), 'vm-device-'));
after(() => rmSync(folder, { recursive: true }));
const image = join(folder, 'disk.img');
writeFileSync(image, Buffer.alloc(65536));

const disk = {
  ...{ path: image, writable: true, sparse: true, blockSize: 512, id: '', queues: 1, direct: false, lock: true },
  trust: NO_TRUST,
};
const port = serialSyntax.parse(`hardware=virtio-console,type=file,path=${join(folder, 'out')},input=/dev/zero`);
const SOURCES: readonly OwnSource[] = [
  { kind: 'disk', disk: { ...disk, overlay: { kind: 'temporary' } } },
  { kind: 'console', port },
  { kind: 'vsock', cid: 3, path: join(folder, 'vsock') },
  { kind: 'user-network', card: { type: 'net' }, forwards: [] },
];

for (const source of SOURCES) {
  const skip =
    source.kind === 'user-network' && spawnSync('passt', ['--version']).error !== undefined && 'no passt here';
  test(`nothing stays open of a ${source.kind} device that cannot be launched`, { skip }, async () => {
    const launcher: DeviceLauncher = {
      inJail: true,
      launch() {
        throw new CrosvmError('E_SECCOMP_POLICY', 'no policy');
      },
    };
    const plan = { name: 'the device', type: 'rng', slot: 1, source } as const;
    const before = readdirSync('/proc/self/fd').length;
    const start = VmDevice.start(plan, launcher, () => {});
    await assert.rejects(start, { code: 'E_DEVICE', message: 'the device: no policy' });
    assert.equal(readdirSync('/proc/self/fd').length, before);
    assert.ok(!readdirSync(folder).includes('vsock'));
  });
}
