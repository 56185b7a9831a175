import type { JailOptions } from '../../jail/jail-spec.ts';
import { flag, type Parsed, value } from './option.ts';
import { path } from './syntax.ts';

/** What surrounds devices of ours. */
export const sandboxOptions = {
  disableSandbox: flag({
    section: 'Sandbox',
    help: 'Run devices as threads of one process, not as processes of their own.',
  }),
  seccompPolicyDir: value({
    section: 'Sandbox',
    syntax: path(),
    help: 'Folder of the seccomp policies of device processes, TYPE_device.policy [default: those of the package].',
  }),
  seccompLogFailures: flag({
    section: 'Sandbox',
    help: "Write system calls that a policy refuses to the kernel's log, and allow them.",
  }),
  pivotRoot: value({
    section: 'Sandbox',
    syntax: path(),
    help: 'Folder that becomes the root of device processes [default: an empty one in memory].',
  }),
};

/** The same for whoever makes jails. CROSVM_SPAWN_DEVICES in the environment is for hosts on which the usual way fails. */
export function jailOptions(given: Parsed<typeof sandboxOptions>): JailOptions {
  return {
    policyFolder: given.seccompPolicyDir,
    logFailures: given.seccompLogFailures,
    root: given.pivotRoot,
    spawns: !['', '0', undefined].includes(process.env['CROSVM_SPAWN_DEVICES']),
  };
}
