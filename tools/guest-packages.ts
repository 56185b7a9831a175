/** Fetches what tests and `npm start` run as guests from Debian's archive, through the apt of this machine. No root needed. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { CrosvmError } from '../src/errors.ts';
import { cachedFolder } from './cache.ts';
import { type PackageRecord, parsePackageRecord } from './debian-control.ts';
import { step } from './progress.js';
import { output } from './run.js';

/** Debian's own kernel for virtual machines. */
export const CLOUD_KERNEL = 'linux-image-cloud-amd64';
/** The same of Linux 6.12: on Debian 12 a package of its own, from 13 on the one above. */
export const CLOUD_KERNEL_6_12 = 'linux-image-6.12-cloud-amd64';

/** Looks a package up; undefined when apt does not know it. */
type Lookup = (name: string) => Promise<PackageRecord | undefined>;

/** The path of the bzImage of a Debian kernel: `linux-image-...`, a meta-package or a real one. */
export async function fetchKernel(name: string = CLOUD_KERNEL): Promise<string> {
  const folder = await cachedFolder(`guest/${name}`, async (target) => {
    await fetchFiles(() => resolveKernel(name, lookUp), ['./boot/vmlinuz-*'], target);
  });
  return join(folder, onlyFile(folder));
}

/** The paths of the modules that make a Debian kernel report its panics, in the order to load them. */
export async function fetchPanicModules(name: string = CLOUD_KERNEL): Promise<string[]> {
  const modules = ['pvpanic', 'pvpanic-pci'];
  const folder = await cachedFolder(`guest/${name}-pvpanic`, async (target) => {
    const patterns = modules.map((module) => `./lib/modules/*/${module}.ko*`);
    await fetchFiles(() => resolveKernel(name, lookUp), patterns, target);
  });
  return modules.map((module) => join(folder, readdirSync(folder).find((file) => file.startsWith(`${module}.ko`))!));
}

/** The path of a statically linked busybox. */
export async function fetchBusybox(): Promise<string> {
  const folder = await cachedFolder('guest/busybox-static', async (target) => {
    await fetchFiles(() => lookUp('busybox-static'), ['*/bin/busybox'], target);
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

async function resolve612(look: Lookup): Promise<PackageRecord | undefined> {
  const cloud = await resolveKernel(CLOUD_KERNEL, look);
  return cloud?.version.startsWith('6.12.') ? cloud : undefined;
}

async function lookUp(name: string): Promise<PackageRecord | undefined> {
  // apt-cache ends with an error for a name that it does not know.
  const text = await output('apt-cache', ['show', '--no-all-versions', name]).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') throw noApt();
    return '';
  });
  return parsePackageRecord(text);
}

/**
 * Puts a file for each of `patterns` from the package that `look` finds into `target`. The lists of packages may be
 * missing, or so old that the archive has a newer version by now: if root runs us we fetch them and try again.
 */
async function fetchFiles(
  look: () => Promise<PackageRecord | undefined>,
  patterns: readonly string[],
  target: string,
): Promise<void> {
  const attempt = async () => unpackFiles(await download(await look(), target), patterns, target);
  try {
    await attempt();
  } catch (error) {
    if (process.getuid?.() !== 0 || (error instanceof CrosvmError && error.code === 'E_GUEST_APT')) throw error;
    await step('Updating the list of Debian packages', () => output('apt-get', ['update', '-qq']));
    await attempt();
  }
}

/** The path of the downloaded package, in a folder of its own within `target` whose name starts with a dot. */
async function download(found: PackageRecord | undefined, target: string): Promise<string> {
  if (found === undefined) {
    throw new CrosvmError(
      'E_GUEST_PACKAGE',
      `apt does not know the guest's packages; run apt-get update, or ${OWN_KERNEL}`,
    );
  }
  const folder = mkdtempSync(join(target, '.download-'));
  const megabytes = Math.max(1, Math.round(found.size / 1e6));
  await step(`Downloading ${found.name} ${found.version} (${megabytes} MB)`, () =>
    output('apt-get', ['download', '-qq', '-o', 'APT::Sandbox::User=root', `${found.name}=${found.version}`], {
      cwd: folder,
    }),
  );
  return join(folder, onlyFile(folder));
}

/** Takes the first file that matches each pattern out of a .deb, without its folders. Stops reading after the last. */
async function unpackFiles(archive: string, patterns: readonly string[], target: string): Promise<void> {
  const script =
    'archive=$1 target=$2; shift 2; dpkg-deb --fsys-tarfile "$archive" | ' +
    'tar -xf - -C "$target" --wildcards --occurrence=1 --transform "s,.*/,," "$@"';
  await step(`Unpacking ${basename(archive)}`, () => output('sh', ['-c', script, 'sh', archive, target, ...patterns]));
  rmSync(dirname(archive), { recursive: true });
}

function onlyFile(folder: string): string {
  const files = readdirSync(folder).filter((name) => !name.startsWith('.'));
  if (files.length !== 1) throw new CrosvmError('E_GUEST_CACHE', `${folder} should hold one file; remove the folder`);
  return files[0]!;
}

const OWN_KERNEL = 'pass a kernel and an initramfs of your own: bin/crosvm run --initrd INITRAMFS KERNEL';

function noApt(): CrosvmError {
  return new CrosvmError('E_GUEST_APT', `there is no apt on this machine to fetch a guest with; ${OWN_KERNEL}`);
}
