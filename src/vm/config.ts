import { totalmem } from 'node:os';
import { join } from 'node:path';
import { cacheFolder } from '../base/cache-folder.ts';
import { MAX_JIT_THRESHOLD } from '../cli/options/jit.ts';
import { withDefaults } from '../cli/options/option.ts';
import { type RunOptions, runOptions } from '../cli/options/run.ts';
import { CrosvmError } from '../errors.ts';
import { planDevices } from './devices/plan.ts';
import { rootDisk } from './devices/root-disk.ts';

/** Everything that describes a VM: the options of `crosvm run`, and the kernel. */
export interface VmConfig extends Omit<RunOptions, 'extendedStatus' | 'logLevel'> {
  /** Path of the kernel; undefined with `bios`. */
  readonly kernel: string | undefined;
}

/** What is left out gets its default. */
export type VmConfigInput = { readonly [K in keyof VmConfig]?: VmConfig[K] | undefined };

const MIB = 1 << 20;

/** Fills in defaults and checks what no single option can check. Throws `E_OPTION` or `E_MEMORY_SIZE`. */
export function completeConfig(input: VmConfigInput, hostMemory = totalmem()): VmConfig {
  const given = Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined));
  const config: VmConfig = { ...withDefaults(runOptions, given), kernel: input.kernel };
  if (config.kernel === undefined && config.bios === undefined) option('a kernel or a BIOS is needed');
  if (config.kernel !== undefined && config.bios !== undefined) option('a kernel and a BIOS exclude each other');
  if (config.splitIrqchip && config.irqchip === 'kernel')
    option('a split irqchip and irqchip=kernel exclude each other');
  if (config.deterministic !== undefined) checkDeterministic(config);
  checkJit(config);
  rootDisk(config); // throws for two
  checkMemory(config.mem, Math.floor(hostMemory / MIB));
  return config;
}

/** What `auto` means depends on the rest: only the software CPU is deterministic. */
export function hypervisorOption({ hypervisor, deterministic }: VmConfig): VmConfig['hypervisor'] {
  return deterministic === undefined ? hypervisor : { kind: 'soft', device: undefined };
}

/** Executions of a block of code before the software CPU compiles it: Infinity for never, undefined for its own choice. */
export function jitThreshold({ jit }: VmConfig): number | undefined {
  if (jit === 'auto') return undefined;
  return jit === 'off' ? Number.POSITIVE_INFINITY : jit;
}

/** The folder in which the software CPU keeps what it has compiled; undefined: nowhere. */
export function keptCodeFolder({ jit, jitCache }: VmConfig): string | undefined {
  if (jit === 'off' || jitCache === 'off') return undefined;
  return jitCache === 'auto' ? join(cacheFolder(), 'jit') : jitCache.folder;
}

function checkJit({ jit }: VmConfig): void {
  if (jit === 'auto' || jit === 'off') return;
  if (Number.isSafeInteger(jit) && jit >= 0 && jit <= MAX_JIT_THRESHOLD) return;
  option(`jit is ${jit}, not auto, off or a whole number up to ${MAX_JIT_THRESHOLD}`);
}

function checkDeterministic(config: VmConfig): void {
  const { deterministic, hypervisor, cpus } = config;
  if (!Number.isSafeInteger(deterministic) || deterministic! < 0) option(`${deterministic} is no seed`);
  if (hypervisor.kind === 'kvm') option('only the software CPU is deterministic: use --hypervisor soft');
  if (cpus !== 1) option(`a deterministic VM has one vCPU, not ${cpus}`);
  if (planDevices(config).length + config.pmem.length > 0)
    option('a deterministic VM has no virtio devices: they keep time by themselves');
}

function checkMemory(mib: number, hostMib: number): void {
  if (!Number.isSafeInteger(mib) || mib < 1) {
    throw new CrosvmError('E_MEMORY_SIZE', `${mib} MiB of memory is too little for a guest; give it more with --mem`);
  }
  if (mib > hostMib) {
    throw new CrosvmError('E_MEMORY_SIZE', `${mib} MiB of guest memory is more than this machine has (${hostMib} MiB)`);
  }
}

function option(message: string): never {
  throw new CrosvmError('E_OPTION', message);
}
