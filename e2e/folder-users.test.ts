/** In whose name device processes act on a shared folder, without a guest: requests come from a driver of the test's. */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, lstatSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import * as protocol from '../src/fuse/protocol.ts';
import { args, type FuseClient, text as words } from '../src/fuse/testing/fuse-client.ts';
import { O_RDONLY, O_RDWR } from '../src/host-folder/constants.ts';
import { EACCES, EPERM } from '../src/host-folder/errno.ts';
import { startFolderDevice, threadStatuses, WAYS } from './folder-device.ts';

const ROOT = 1;
const USER = 1000;
const skip = process.geteuid!() === 0 ? false : 'only root has others to be';
const folder = mkdtempSync(join(tmpdir(), 'crosvm-users-'));
after(() => rmSync(folder, { recursive: true }));
chmodSync(folder, 0o755);

/** A folder with a file of root's and one of the user's, that nobody else may read. */
function newShare(name: string): string {
  const share = join(folder, name);
  mkdirSync(share);
  chmodSync(share, 0o777);
  for (const [file, owner] of [
    ['of-root', 0],
    ['of-user', USER],
  ] as const) {
    writeFileSync(join(share, file), file, { mode: 0o600 });
    chownSync(join(share, file), owner, owner);
  }
  return share;
}

const errorOf = (client: FuseClient, opcode: number, nodeid: number, request: Uint8Array) =>
  client.call(opcode, nodeid, request)!.error;

/** Owners of a file as the guest sees them. */
function ownersOf(client: FuseClient, name: string): number[] {
  const attributes = client.ask(protocol.FUSE_LOOKUP, ROOT, words(name));
  return [attributes.getUint32(40 + 68, true), attributes.getUint32(40 + 72, true)];
}

function open(client: FuseClient, name: string): number {
  const { nodeid } = client.lookup(ROOT, name);
  return errorOf(client, protocol.FUSE_OPEN, nodeid, args(O_RDONLY, 0));
}

/** Real user and capabilities of all threads of the device. */
function rightsIn(share: string): string[] {
  const field = (status: string, name: string) => new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(status)![1];
  const statuses = threadStatuses(share);
  return [...new Set(statuses.map((one) => ['Uid', 'CapEff', 'CapBnd'].map((name) => field(one, name)).join(' ')))];
}

const NONE = '0000000000000000';
const ON_FILES = '00000000880001df';

for (const [way, env] of Object.entries(WAYS)) {
  describe(`a shared folder of a ${way} device`, { skip }, () => {
    test('of root: as each of the users of the guest, with rights on the files of all', async () => {
      const share = newShare(`${way}-all`);
      const { client, end } = await startFolderDevice(share, 'timeout=0', { env });
      assert.deepEqual([open(client, 'of-root'), open(client, 'of-user')], [0, 0]);
      client.uid = client.gid = 7;
      client.create(ROOT, 'new', O_RDWR, 0o666);
      const { uid, gid } = lstatSync(join(share, 'new'));
      assert.deepEqual([uid, gid], [7, 7]);
      assert.deepEqual(rightsIn(share), [`0 ${ON_FILES} ${ON_FILES}`]);
      assert.equal(await end(), '');
    });

    test('of root with a map: users of the guest are others', async () => {
      const share = newShare(`${way}-map`);
      const { client, end } = await startFolderDevice(
        share,
        'uidmap=0 100000 5000,5000 1000 1:gidmap=0 100000 5000,5000 1000 1',
        { env },
      );
      assert.deepEqual(ownersOf(client, 'of-user'), [5000, 5000]);
      assert.deepEqual([open(client, 'of-root'), open(client, 'of-user')], [-EACCES, 0]);
      client.uid = client.gid = 7;
      client.create(ROOT, 'new', O_RDWR, 0o666);
      assert.equal(lstatSync(join(share, 'new')).uid, 100_007);
      assert.equal(await end(), '');
    });

    test('of root as a user without a group of his own: that is the group of root', async () => {
      const share = newShare(`${way}-one-uid`);
      const { client, end } = await startFolderDevice(share, `uid=${USER}`, { env });
      client.create(ROOT, 'new', O_RDWR, 0o666);
      const { uid, gid } = lstatSync(join(share, 'new'));
      assert.deepEqual([uid, gid], [USER, 0]);
      assert.equal(await end(), '');
    });

    test('of root as one user: with the rights of that one only', async () => {
      const share = newShare(`${way}-one`);
      const { client, end } = await startFolderDevice(share, `uid=${USER}:gid=${USER}`, { env });
      assert.deepEqual([open(client, 'of-root'), open(client, 'of-user')], [-EACCES, 0]);
      client.uid = client.gid = 7;
      const { node } = client.create(ROOT, 'new', O_RDWR, 0o666);
      const { uid, gid } = lstatSync(join(share, 'new'));
      assert.deepEqual([uid, gid], [USER, USER]);
      const chown = new Uint8Array(88);
      new DataView(chown.buffer).setUint32(0, protocol.FATTR_UID, true);
      assert.equal(errorOf(client, protocol.FUSE_SETATTR, node.nodeid, chown), -EPERM);
      assert.deepEqual(rightsIn(share), [`${USER} ${NONE} ${NONE}`]);
      assert.equal(await end(), '');
    });

    test('of root with owners by path', async () => {
      const share = newShare(`${way}-paths`);
      mkdirSync(join(share, 'work'));
      const { client, end } = await startFolderDevice(share, `timeout=0,ugid_map='5 6 ${USER} ${USER} 027 /work'`, {
        env,
      });
      assert.deepEqual(
        [ownersOf(client, 'work'), ownersOf(client, 'of-user')],
        [
          [5, 6],
          [USER, USER],
        ],
      );
      client.uid = client.gid = 7;
      client.create(client.lookup(ROOT, 'work').nodeid, 'new', O_RDWR, 0o666);
      const { uid, gid, mode } = lstatSync(join(share, 'work', 'new'));
      assert.deepEqual([uid, gid, mode & 0o777], [USER, USER, 0o640]);
      client.create(ROOT, 'new', O_RDWR, 0o666);
      assert.equal(lstatSync(join(share, 'new')).uid, 7);
      assert.equal(await end(), '');
    });

    test('of somebody else with owners by path: all are his', async () => {
      const share = newShare(`${way}-own-paths`);
      const others = startFolderDevice(share, `ugid_map=5 6 0 ${USER} 022 /`, { env, user: USER });
      await assert.rejects(others, {
        message: /ugid_map: only root makes files of others; yours are those of 1000 1000\n/,
      });
      const { client, end } = await startFolderDevice(share, `ugid_map=5 6 ${USER} ${USER} 022 /`, { env, user: USER });
      assert.deepEqual(
        [ownersOf(client, 'of-user'), ownersOf(client, 'of-root')],
        [
          [5, 6],
          [5, 6],
        ],
      );
      assert.deepEqual([open(client, 'of-root'), open(client, 'of-user')], [-EACCES, 0]);
      client.uid = client.gid = 7;
      client.create(ROOT, 'new', O_RDWR, 0o666);
      assert.equal(lstatSync(join(share, 'new')).uid, USER);
      assert.equal(await end(), '');
    });

    test('of somebody else, who is root in the guest', async () => {
      const share = newShare(`${way}-else`);
      const { client, end } = await startFolderDevice(share, 'timeout=0', { env, user: USER });
      assert.deepEqual(
        [ownersOf(client, 'of-user'), ownersOf(client, 'of-root')],
        [
          [0, 0],
          [65534, 65534],
        ],
      );
      assert.deepEqual([open(client, 'of-root'), open(client, 'of-user')], [-EACCES, 0]);
      client.uid = client.gid = 7;
      client.create(ROOT, 'new', O_RDWR, 0o666);
      assert.equal(lstatSync(join(share, 'new')).uid, USER);
      assert.equal(await end(), '');
    });

    test('of somebody else, who is himself in the guest', async () => {
      const share = newShare(`${way}-himself`);
      const cfg = `uid=5000:gid=5000:uidmap=5000 ${USER} 1:gidmap=5000 ${USER} 1`;
      const { client, end } = await startFolderDevice(share, cfg, { env, user: USER });
      assert.deepEqual(
        [ownersOf(client, 'of-user'), ownersOf(client, 'of-root')],
        [
          [5000, 5000],
          [65534, 65534],
        ],
      );
      assert.deepEqual([open(client, 'of-root'), open(client, 'of-user')], [-EACCES, 0]);
      client.create(ROOT, 'new', O_RDWR, 0o666);
      assert.equal(lstatSync(join(share, 'new')).uid, USER);
      assert.equal(await end(), '');
    });

    test('of somebody else, who wants to be others: one line says what he can be', async () => {
      const started = startFolderDevice(newShare(`${way}-others`), 'uidmap=0 0 1', { env, user: USER });
      await assert.rejects(started, {
        message: /^crosvm: device fs: uidmap: only root can be others .* uidmap=N 1000 1\n(?!.*allow user namespaces)/,
      });
    });
  });
}
