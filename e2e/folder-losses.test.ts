/** Shared folders whose devices go away and come back, under a guest that has them mounted. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FULL_KERNEL } from '../tools/guest-packages.ts';
import { devicesNamed } from './named-devices.ts';
import { runVirtioGuest } from './virtio-guest.ts';

const folder = mkdtempSync(join(tmpdir(), 'crosvm-folder-losses-'));
after(() => rmSync(folder, { recursive: true }));

const DEVICES = { fs: 'fs device', p9: '9p device' } as const;
const MOUNTS = {
  fs: 'mount -t virtiofs fs /fs',
  p9: 'mount -t 9p -o trans=virtio,version=9p2000.L p9 /p9',
} as const;

/** Says when the device may be killed, waits until that is felt, and mounts the folder again. */
function outlive(kind: keyof typeof DEVICES): string {
  const untilFelt = `for i in $(seq 300); do ls /${kind} >/dev/null 2>&1 || break; sleep 0.1; done; ls /${kind} 2>&1`;
  return `touch /${kind}/ready; ${untilFelt}; umount /${kind} && ${MOUNTS[kind]} && cat /${kind}/file`;
}

/** Kills the device of a folder when the guest says so. */
async function killOnceReady(kind: keyof typeof DEVICES, isOver: AbortSignal): Promise<void> {
  while (!isOver.aborted && !existsSync(join(folder, kind, 'ready'))) await sleep(50);
  for (const pid of devicesNamed(DEVICES[kind])) process.kill(pid, 'SIGKILL');
}

test('a guest whose shared folder loses its device gets errors, and mounts it again', async () => {
  for (const kind of ['fs', 'p9']) {
    mkdirSync(join(folder, kind));
    writeFileSync(join(folder, kind, 'file'), `file of ${kind}\n`);
  }
  const isOver = new AbortController();
  const killers = [killOnceReady('fs', isOver.signal), killOnceReady('p9', isOver.signal)];
  const driver = '/sys/bus/virtio/drivers/virtiofs';
  const { finished, outputs } = await runVirtioGuest(
    ['--shared-dir', `${join(folder, 'fs')}:fs:type=fs`, '--shared-dir', `${join(folder, 'p9')}:p9`],
    [
      `dmesg -n 1; mkdir /fs /p9; ${MOUNTS.fs} && ${MOUNTS.p9}`,
      outlive('fs'),
      outlive('p9'),
      // The device begins anew without anybody's death, too.
      `umount /fs; cd ${driver}; for d in virtio*; do echo $d >unbind; echo $d >bind; done; ${MOUNTS.fs} && cat /fs/file`,
      'umount /fs /p9',
    ],
    { kernel: FULL_KERNEL, modules: ['fs', 'p9'] },
  ).finally(() => isOver.abort());
  await Promise.all(killers);
  const said = outputs.slice(1).map(({ output, status }) => `${status} ${output}`);
  assert.match(said[0]!, /^0 ls: .*: Input\/output error\nfile of fs\n$/, finished.console.slice(-2000));
  assert.match(said[1]!, /^0 ls: .*: Protocol error\nfile of p9\n$/);
  assert.deepEqual(said.slice(2), ['0 file of fs\n', '0 ']);
  assert.equal(finished.status, 0);
  assert.equal(finished.stderr.match(/has ended \(killed by SIGKILL\) and is started again\n/g)?.length, 2);
});
