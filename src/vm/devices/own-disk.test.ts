/** The files of disks: who opens them, and who may ask for which. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { close, closeAll, dup, O_RDONLY, O_RDWR } from '../../base/fd.ts';
import { HostFile } from '../../base/host-file.ts';
import { untilReadable } from '../../base/readable.ts';
import { StreamConnection } from '../../base/unix-stream.ts';
import type { BlockSpec, DiskRequest } from '../../device-process/device-spec.ts';
import { brokeredDiskFiles } from '../../device-process/file-broker.ts';
import { NO_TRUST } from '../../disk/image-trust.ts';
import { createQcow2 } from '../../disk/qcow2/create.ts';
import { ownPolicyFolder } from '../../jail/load-policy.ts';
import { DiskFileServer } from './disk-file-server.ts';
import { JailLauncher } from './jail-launcher.ts';
import { OwnDisk } from './own-disk.ts';
import { endDevice, launchDevice, untilItAnswers } from './testing/launch.ts';

const folder = mkdtempSync(join(tmpdir(), 'own-disk-'));
after(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);
mkdirSync(at('images'));
writeFileSync(at('images/base'), Buffer.alloc(65536, 'base'));
writeFileSync(at('secret'), 'secret');
symlinkSync(at('secret'), at('images/link'));

function overlayOf(name: string, backingFile: string): string {
  const path = at(`images/${name}`);
  const store = HostFile.open(path, { writable: true, create: 'new' });
  createQcow2(store, { size: 65536, backingFile, backingFormat: 'raw' });
  store.close();
  return path;
}

function specOf(path: string, more: Partial<DiskRequest> = {}): DiskRequest {
  return {
    ...{ path, trust: NO_TRUST, writable: true, sparse: true, blockSize: 512, id: '', queues: 1 },
    ...{ direct: false, lock: true },
    ...more,
  };
}

/** How a disk in its jail comes up: undefined, or what it says when it does not. */
async function failureOf(spec: DiskRequest, policyFolder?: string): Promise<string | undefined> {
  const launcher = new JailLauncher({ policyFolder });
  const disk = new OwnDisk(spec);
  try {
    using given = await disk.give(true);
    const device = launchDevice(launcher, given.spec);
    try {
      await untilItAnswers(device);
      disk.isUp();
      return undefined;
    } catch {
      return `${await device.gone}: ${device.lastWords()}`;
    } finally {
      await endDevice(device);
    }
  } finally {
    disk.close();
    await launcher.close();
  }
}

test('an image is read in the jail, and what it refers to is opened for it', async () => {
  assert.equal(await failureOf(specOf(overlayOf('good', 'base'))), undefined);
  assert.match(
    (await failureOf(specOf(overlayOf('outside', '../secret'))))!,
    /^exit status 1: crosvm: the device: .*outside: .*secret, which it refers to, is outside of the image's folder; .*"outside"$/,
  );
  const trust = { ...NO_TRUST, outside: true };
  assert.equal(await failureOf(specOf(at('images/outside'), { trust })), undefined);
  assert.match(
    (await failureOf(specOf(overlayOf('missing', 'none'))))!,
    /images\/none: cannot be opened: there is no such file$/,
  );
  // Whoever may not read files in its jail does not get to the image's header.
  const policies = at('policies');
  cpSync(ownPolicyFolder(), policies, { recursive: true });
  const text = readFileSync(join(policies, 'disk_files.policy'), 'utf8');
  writeFileSync(join(policies, 'disk_files.policy'), text.replace(/^pread64: 1$/m, ''));
  assert.equal(await failureOf(specOf(at('images/good')), policies), 'killed for the system call pread64: undefined');
});

/** What the process of a disk gets when it asks: the code of a refusal, or the access mode of the open file. */
async function ask(spec: DiskRequest, question: string): Promise<string | number> {
  const server = new DiskFileServer(spec);
  const asker = new StreamConnection(server.fd);
  asker.send(new TextEncoder().encode(question));
  await untilReadable(server.fd, 1000);
  const [packet, fds] = [new Uint8Array(1000), [] as number[]];
  const answer = JSON.parse(new TextDecoder().decode(packet.subarray(0, asker.receive(packet, 0, 1000, fds))));
  const flags = fds.map((fd) => readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'));
  closeAll(fds);
  server.close();
  return answer.kind === 'refused' ? answer.code : Number.parseInt(/^flags:\s*(\d+)$/m.exec(flags[0]!)![1]!, 8) & 3;
}

test('a process gets what its image may open, and nothing else', async () => {
  const image = overlayOf('asking', 'base');
  const asked = (path: string, spec = specOf(image)) => ask(spec, JSON.stringify({ path, writable: true }));
  assert.equal(await asked(at('images/base')), O_RDWR);
  assert.equal(await asked(at('images/base'), specOf(image, { writable: false })), O_RDONLY);
  assert.equal(await asked(at('images/base'), specOf(image, { overlay: { kind: 'temporary' } })), O_RDONLY);
  for (const path of ['secret', 'images/link', 'images/../secret']) {
    assert.equal(await asked(at(path)), 'E_DISK_TRUST', path);
    assert.equal(await asked(at(path), specOf(image, { trust: { ...NO_TRUST, outside: true } })), O_RDWR, path);
  }
  for (const path of ['/dev/null', at('images'), at('none')]) assert.equal(await asked(path), 'E_FILE_OPEN', path);
});

test('nonsense is refused', async () => {
  const spec = specOf(at('images/good'));
  const before = readdirSync('/proc/self/fd').length;
  for (const text of [
    ...[' ', '{', '[]', 'null', '"x"', '{"path":5}', '{"path":"images/base","writable":true}'],
    ...['{"path":"/x\\u0000","writable":true}', '{"path":"/x"}', '\udfff'],
  ]) {
    assert.equal(await ask(spec, text), 'E_FILE_BROKER', text);
  }
  assert.equal(readdirSync('/proc/self/fd').length, before);
});

test('when the disk has come up nothing is opened any more', async () => {
  const disk = new OwnDisk(specOf(at('images/good')));
  using given = await disk.give(true);
  const fd = dup((given.spec as BlockSpec).broker!.fd);
  disk.isUp();
  const access = { writable: false, lock: false, direct: false, regular: true };
  assert.throws(() => brokeredDiskFiles(fd).open(at('images/base'), access), { errno: 'EPIPE' });
  close(fd);
  disk.close();
});
