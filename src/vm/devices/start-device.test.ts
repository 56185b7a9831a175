import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mayPing } from '../../base/ping-permission.ts';
import { CrosvmError } from '../../errors.ts';
import type { DeviceLauncher } from './launcher.ts';
import type { DevicePlan } from './plan.ts';
import { startDevice } from './start-device.ts';

test('a network without privileges says what the host does not let it do', async () => {
  const launcher: DeviceLauncher = {
    inJail: true,
    launch() {
      throw new CrosvmError('E_TEST', 'it is not to be started');
    },
  };
  const source = { kind: 'user-network', card: { type: 'net' }, forwards: [] } as const;
  const plan: DevicePlan = { name: 'the network card', type: 'net', slot: 1, source };
  const said: string[] = [];
  await assert.rejects(startDevice(plan, launcher, (level, line) => said.push(`${level}: ${line}`)));
  const words = "debug: the network card: the guest's pings get no answer, as the host forbids them";
  assert.equal(
    said.some((line) => line.startsWith(words)),
    !mayPing(),
  );
});
