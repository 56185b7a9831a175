import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { explainOpenFailure, KvmDevice } from './device.ts';

test('a device that is not there: says why and what to do', () => {
  assert.throws(() => new KvmDevice('/nonexistent/kvm'), {
    code: 'E_KVM_OPEN',
    message: /^\/nonexistent\/kvm does not exist.*modprobe.*--hypervisor soft$/,
  });
});

test('something that is not a KVM device: says so', () => {
  const folder = mkdtempSync(join(tmpdir(), 'kvm-device-'));
  const file = join(folder, 'kvm');
  writeFileSync(file, '');
  for (const path of [file, '/dev/null']) {
    assert.throws(() => new KvmDevice(path), { code: 'E_KVM_OPEN', message: /is not a KVM device.*--kvm-device/ });
  }
  assert.throws(() => new KvmDevice(folder), { code: 'E_KVM_OPEN', message: /is a folder/ });
  rmSync(folder, { recursive: true });
});

test('each reason has its own advice', () => {
  assert.match(explainOpenFailure('/dev/kvm', 'EACCES'), /no permission to open \/dev\/kvm.*usermod -aG kvm/);
  assert.match(explainOpenFailure('/dev/kvm', 'ENODEV'), /no KVM answers behind it.*modprobe/);
  assert.match(explainOpenFailure('/dev/kvm', 'EMFILE'), /cannot open \/dev\/kvm \(EMFILE\)/);
});
