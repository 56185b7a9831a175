/** What happens when a device process does what its policy does not allow. */
import assert from 'node:assert/strict';
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ownPolicyFolder } from '../../jail/load-policy.ts';
import { parsePolicy } from '../../jail/policy/parse-policy.ts';
import { syscallNumbers } from '../../jail/policy/syscalls.ts';
import type { ProbeSpec } from '../../jail/testing/probe-device.ts';
import { JailLauncher } from './jail-launcher.ts';
import { failure, launch, PROBES, WAYS, withLauncher } from './testing/jailed.ts';
import { type ConnectedDevice, endDevice } from './testing/launch.ts';

/** EBADSLT, an error that no system call has by itself. */
const REFUSED = 57;

/** Names and numbers of the calls that entropy devices may not make, whatever their arguments. */
function forbiddenCalls(): (readonly [string, number])[] {
  const text = (path: string) => readFileSync(join(ownPolicyFolder(), path), 'utf8');
  const { rules } = parsePolicy('rng', text('rng_device.policy'), text);
  return [...syscallNumbers].filter(([, number]) => !rules.has(number));
}

for (const { way, options } of WAYS)
  describe(`system calls that the policy of a ${way} device does not have`, () => {
    let launcher: JailLauncher;
    let sibling: ConnectedDevice;
    before(async () => {
      launcher = new JailLauncher(options, PROBES);
      sibling = await launch(launcher, { type: 'rng' });
    });
    after(async () => {
      // Through all of this it has lived.
      assert.equal(await endDevice(sibling), 'exit status 0');
      await launcher.close();
    });

    test('each ends the device, and the reason is known', async () => {
      const forbidden = forbiddenCalls();
      assert.ok(forbidden.length > 300);
      // To spawn a process takes longer; the next test has all of them.
      const tried = way === 'forked' ? forbidden : forbidden.filter((_, i) => i % 150 === 0);
      for (const [name, number] of tried) {
        const { how } = await failure(launcher, { type: 'rng', probe: [number] } as ProbeSpec);
        assert.equal(how, `killed for the system call ${name}`);
      }
    });

    test('none is done, by a policy with which they fail instead', async () => {
      const policyFolder = mkdtempSync(join(tmpdir(), 'jail-'));
      cpSync(ownPolicyFolder(), policyFolder, { recursive: true });
      appendFileSync(join(policyFolder, 'rng_device.policy'), `@default return ${REFUSED}\n`);
      const refused = { errno: REFUSED, calls: forbiddenCalls().map(([, number]) => number) };
      await withLauncher({ ...options, policyFolder }, PROBES, async (launcher) => {
        assert.equal(await endDevice(await launch(launcher, { type: 'rng', refused })), 'exit status 0');
        // So that this test can fail: a call that is allowed is not refused.
        const allowed = { errno: REFUSED, calls: [syscallNumbers.get('getpid')!] };
        assert.match((await failure(launcher, { type: 'rng', refused: allowed })).words!, /was not refused: 39$/);
      })();
      rmSync(policyFolder, { recursive: true });
    });

    const call = (name: string, ...args: number[]) => [syscallNumbers.get(name)!, ...args];
    const [AF_INET, PROT_READ_EXEC, MAP_PRIVATE_ANONYMOUS, F_SETFD, F_SETFL] = [2, 5, 0x22, 2, 4];
    const ARGUMENTS = [
      { type: 'rng', name: 'mmap', probe: call('mmap', 0, 4096, PROT_READ_EXEC, MAP_PRIVATE_ANONYMOUS, -1) },
      { type: 'rng', name: 'mprotect', probe: call('mprotect', 0, 4096, PROT_READ_EXEC) },
      { type: 'rng', name: 'fcntl', probe: call('fcntl', 3, F_SETFD, 0) },
      // Eventfds are the VMM's, too, which is never to block on one.
      { type: 'rng', name: 'fcntl', probe: call('fcntl', 3, F_SETFL, 0) },
      { type: 'rng', name: 'sendto', probe: call('sendto', 3, 0, 0, 0, 4096, 16) },
      { type: 'vsock', name: 'socket', probe: call('socket', AF_INET, 1, 0) },
      { type: 'block', name: 'openat', probe: call('openat', -100, 0, 0, 0) },
      { type: 'balloon', name: 'pwrite64', probe: call('pwrite64', 3, 0, 0, 0) },
      { type: 'console', name: 'execve', probe: call('execve', 0, 0, 0) },
      { type: 'net', name: 'ioctl', probe: call('ioctl', 3, 0x400454ca, 0) },
      { type: 'vsock', name: 'bind', probe: call('bind', 3, 0, 0) },
    ];
    for (const { type, name, probe } of ARGUMENTS) {
      test(`${type}: ${name}(${probe.slice(1)})`, async () => {
        const { how } = await failure(launcher, { type, probe } as unknown as ProbeSpec);
        assert.equal(how, `killed for the system call ${name}`);
      });
    }

    test('a device that is killed from outside is told of, too', async () => {
      const device = await launch(launcher, { type: 'rng' });
      device.kill();
      assert.equal(await device.gone, 'killed by SIGKILL');
      await endDevice(device);
    });
  });
