/** Devices in jails of tests, and what /proc says of them. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { JailOptions } from '../../../jail/jail-spec.ts';
import type { ProbeSpec } from '../../../jail/testing/probe-device.ts';
import { JailLauncher, type JailPrograms } from '../jail-launcher.ts';
import { type ConnectedDevice, endDevice, launchDevice, untilItAnswers } from './launch.ts';

/** Both ways to start device processes. */
export const WAYS = [
  { way: 'forked', options: {} },
  { way: 'spawned', options: { spawns: true } },
] as const;

export const testing = (name: string) => fileURLToPath(new URL(`../../../jail/testing/${name}.ts`, import.meta.url));
/** Programs whose devices are probes. */
export const PROBES: JailPrograms = { zygote: testing('probe-zygote'), spawned: testing('probe-spawned') };

/** All processes whose parent is `parent`. */
export function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && parentOf(name) === parent)
    .map(Number);
}

/** Undefined for a process that is gone. */
export function parentOf(pid: number | string): number | undefined {
  try {
    return Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);
  } catch {
    return undefined;
  }
}

/** The processes of devices: their parents are children of ours. */
export function devicePids(): number[] {
  return childrenOf(process.pid).flatMap(childrenOf);
}

/** Starts a device, and waits until it has entered its jail and answers. */
export async function launch(launcher: JailLauncher, spec: ProbeSpec): Promise<ConnectedDevice> {
  const device = launchDevice(launcher, spec);
  await untilItAnswers(device);
  return device;
}

/** Starts a device that is not expected to come up; how it ended, and what it said. */
export async function failure(
  launcher: JailLauncher,
  spec: ProbeSpec,
): Promise<{ how: string; words: string | undefined }> {
  const device = launchDevice(launcher, spec);
  const how = await device.gone;
  await endDevice(device);
  return { how, words: device.lastWords() };
}

/** A test that has a launcher until it is over. */
export function withLauncher(
  options: JailOptions,
  programs: JailPrograms,
  run: (launcher: JailLauncher) => Promise<void>,
) {
  return async () => {
    const launcher = new JailLauncher(options, programs);
    try {
      await run(launcher);
    } finally {
      await launcher.close();
    }
  };
}
