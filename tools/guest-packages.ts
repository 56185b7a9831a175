/** What tests, benchmarks and `npm start` run as guests, from Debian's archive. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { CrosvmError } from '../src/errors.ts';
import { cachedFolder } from './cache.ts';
import { type Architecture, debianArchive, type Lookup } from './debian-archive.ts';
import type { PackageRecord } from './debian-control.ts';

/** Debian's own kernel for virtual machines. */
export const CLOUD_KERNEL = 'linux-image-cloud-amd64';
/** The same of Linux 6.12: on Debian 12 a package of its own, from 13 on the one above. */
export const CLOUD_KERNEL_6_12 = 'linux-image-6.12-cloud-amd64';
/** Debian's kernel for all machines. */
export const FULL_KERNEL = 'linux-image-amd64';
/** A 32-bit kernel without PAE, and one with it. Debian has them up to release 12. */
export const KERNEL_686 = 'linux-image-686';
export const KERNEL_686_PAE = 'linux-image-686-pae';

/** The path of the bzImage of a Debian kernel: `linux-image-...`, a meta-package or a real one. */
export async function fetchKernel(name: string = CLOUD_KERNEL, architecture: Architecture = 'amd64'): Promise<string> {
  const folder = await cachedFolder(`guest/${name}`, async (target) => {
    const archive = debianArchive(architecture);
    await archive.fetch(() => kernelPackage(name, archive.lookUp), target, ['./boot/vmlinuz-*']);
  });
  return join(folder, onlyFile(folder));
}

/** Modules of Debian's kernels, in the order to load them. */
const MODULES = {
  /** What makes a kernel report its panics. */
  pvpanic: ['pvpanic', 'pvpanic-pci'],
  /** The power button. */
  button: ['button'],
  /** Virtio devices on PCI: the bus, disks, randomness, consoles, memory balloons, network cards. */
  virtio: [
    ...['virtio_ring', 'virtio', 'virtio_pci_modern_dev', 'virtio_pci_legacy_dev', 'virtio_pci'],
    ...['virtio_blk', 'virtio-rng', 'virtio_console', 'virtio_balloon', 'failover', 'net_failover', 'virtio_net'],
  ],
  /** Sockets between guest and host; needs the bus. */
  vsock: ['vsock', 'vmw_vsock_virtio_transport_common', 'vmw_vsock_virtio_transport'],
  /** Shared folders; needs the bus. */
  fs: ['fuse', 'virtiofs'],
  /** The same by 9P; not in kernels for clouds. */
  p9: ['netfs', 'fscache', '9pnet', '9p', '9pnet_virtio'],
  /** Persistent memory; needs the bus. */
  pmem: ['libnvdimm', 'nd_btt', 'nd_pmem', 'nd_virtio', 'virtio_pmem'],
} as const;

export type ModuleSet = keyof typeof MODULES;

/** The paths of some modules of a Debian kernel, in the order to load them. */
export async function fetchModules(set: ModuleSet, name: string = CLOUD_KERNEL): Promise<string[]> {
  const modules = MODULES[set];
  const folder = await cachedFolder(`guest/${name}-${set}`, async (target) => {
    const patterns = modules.map((module) => `./lib/modules/*/${module}.ko*`);
    const archive = debianArchive();
    await archive.fetch(() => kernelPackage(name, archive.lookUp), target, patterns);
  });
  return modules.map((module) => join(folder, readdirSync(folder).find((file) => file.startsWith(`${module}.ko`))!));
}

/** The path of a statically linked busybox. */
export async function fetchBusybox(architecture: Architecture = 'amd64'): Promise<string> {
  const suffix = architecture === 'amd64' ? '' : `-${architecture}`;
  const folder = await cachedFolder(`guest/busybox-static${suffix}`, async (target) => {
    const archive = debianArchive(architecture);
    await archive.fetch(() => archive.lookUpAll(['busybox-static']), target, ['*/bin/busybox']);
  });
  return join(folder, onlyFile(folder));
}

/**
 * The package that holds the kernel that `name` stands for: a meta-package depends on the one with the version in its
 * name, which an archive may have as `...-unsigned` only. Undefined when there is none.
 */
export async function resolveKernel(name: string, look: Lookup): Promise<PackageRecord | undefined> {
  const asked = await look(name);
  const real = asked?.depends.find((dependency) => /^linux-image-\d/.test(dependency));
  if (asked !== undefined && real === undefined) return asked;
  if (real !== undefined) return (await look(real)) ?? (await look(`${real}-unsigned`));
  // Where the 6.12 kernel is the only one, it has no package of that name.
  return name === CLOUD_KERNEL_6_12 ? await resolve612(look) : undefined;
}

async function kernelPackage(name: string, look: Lookup): Promise<PackageRecord[]> {
  const found = await resolveKernel(name, look);
  return found === undefined ? [] : [found];
}

async function resolve612(look: Lookup): Promise<PackageRecord | undefined> {
  const cloud = await resolveKernel(CLOUD_KERNEL, look);
  return cloud?.version.startsWith('6.12.') ? cloud : undefined;
}

function onlyFile(folder: string): string {
  const files = readdirSync(folder).filter((name) => !name.startsWith('.'));
  if (files.length !== 1) throw new CrosvmError('E_GUEST_CACHE', `${folder} should hold one file; remove the folder`);
  return files[0]!;
}
