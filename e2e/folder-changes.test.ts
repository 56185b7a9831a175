/** What others change in a shared folder, as a jailed device tells a driver that wants to know (VIRTIO_FS_F_NOTIFICATION). */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { invalidEntry, invalidInode } from '../src/fuse/notification.ts';
import { O_RDWR } from '../src/host-folder/constants.ts';
import { Name } from '../src/host-folder/name.ts';
import { startFolderDevice, WAYS } from './folder-device.ts';

const ROOT = 1;
const folder = mkdtempSync(join(tmpdir(), 'crosvm-changes-'));
after(() => rmSync(folder, { recursive: true }));

for (const [way, env] of Object.entries(WAYS)) {
  test(`a ${way} device tells what is changed on the host, and not what its driver changes`, async () => {
    const share = join(folder, way);
    mkdirSync(join(share, 'inner'), { recursive: true });
    writeFileSync(join(share, 'inner', 'file'), '');
    const { client, notification, end } = await startFolderDevice(share, 'cache=auto', { env, notified: true });
    const inner = client.lookup(ROOT, 'inner').nodeid;
    const file = client.lookup(inner, 'file').nodeid;
    client.create(inner, 'own', O_RDWR, 0o666);
    client.unlink(inner, 'own');
    writeFileSync(join(share, 'new'), '');
    assert.deepEqual(notification(), invalidEntry(ROOT, Name.of('new')));
    writeFileSync(join(share, 'inner', 'file'), 'text', { flag: 'a' });
    assert.deepEqual(notification(), invalidInode(file, true));
    client.forget(file, 1);
    client.forget(inner, 1);
    rmSync(join(share, 'inner'), { recursive: true });
    assert.deepEqual(notification(), invalidEntry(ROOT, Name.of('inner')), 'what the driver forgets is not watched');
    assert.equal(await end(), '');
  });
}
