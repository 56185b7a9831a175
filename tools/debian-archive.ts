/** Packages from Debian's archive, through the apt of this machine. No root needed, and nothing is installed. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { cacheFolder } from '../src/base/cache-folder.ts';
import { CrosvmError } from '../src/errors.ts';
import { type PackageRecord, parsePackageRecord } from './debian-control.ts';
import { step } from './progress.js';
import { output } from './run.js';

/** Looks a package up; undefined when apt does not know it. */
export type Lookup = (name: string) => Promise<PackageRecord | undefined>;

/** As Debian calls them. amd64 is the machine's own. */
export type Architecture = 'amd64' | 'i386';

/** The packages of one architecture. */
export interface DebianArchive {
  readonly lookUp: Lookup;
  /**
   * Unpacks the package that `look` finds into the folder `target`: the first file that matches each of `patterns` (of tar,
   * like `*\/bin/busybox`), without its folders; or, without patterns, everything. The lists of packages may be missing, or
   * so old that the archive has a newer version by now: they are fetched if we may, and it is tried again. Throws
   * `E_GUEST_PACKAGE` when there is no such package, `E_GUEST_APT` when there is no apt.
   */
  fetch(look: () => Promise<PackageRecord | undefined>, target: string, patterns?: readonly string[]): Promise<void>;
}

export const OWN_KERNEL = 'pass a kernel and an initramfs of your own: bin/crosvm run --initrd INITRAMFS KERNEL';

export function debianArchive(architecture: Architecture = 'amd64'): DebianArchive {
  const foreign = architecture !== 'amd64';
  const options = foreign ? privateState(architecture) : [];
  const lookUp: Lookup = (name) => lookUpWith(name, options);
  return {
    lookUp,
    async fetch(look, target, patterns) {
      const attempt = async () => unpack(await download(await look(), target, options), target, patterns);
      try {
        await attempt();
      } catch (error) {
        const mayUpdate = foreign || process.getuid?.() === 0;
        if (!mayUpdate || (error instanceof CrosvmError && error.code === 'E_GUEST_APT')) throw error;
        await step(`Updating the list of Debian packages${foreign ? ` for ${architecture}` : ''}`, () =>
          update(options),
        );
        await attempt();
      }
    },
  };
}

/**
 * Options that let apt see the archive of another architecture: lists of packages of our own in the cache folder, and a
 * machine with nothing installed. The machine's own sources are used; what apt knows about this machine stays as it is.
 */
function privateState(architecture: Architecture): string[] {
  const folder = join(cacheFolder(), `apt-${architecture}`);
  mkdirSync(join(folder, 'lists', 'partial'), { recursive: true });
  mkdirSync(join(folder, 'archives', 'partial'), { recursive: true });
  const status = join(folder, 'status');
  writeFileSync(status, '');
  return [
    `APT::Architecture=${architecture}`,
    `APT::Architectures=${architecture}`,
    `Dir::State=${folder}`,
    `Dir::State::status=${status}`,
    `Dir::Cache=${folder}`,
  ].flatMap((option) => ['-o', option]);
}

async function lookUpWith(name: string, options: readonly string[]): Promise<PackageRecord | undefined> {
  // apt-cache ends with an error for a name that it does not know.
  const text = await output('apt-cache', [...options, 'show', '--no-all-versions', name]).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') throw noApt();
      return '';
    },
  );
  return parsePackageRecord(text);
}

/** One source that cannot be reached fails it, although the lists of the others are there now. What counts is the next look-up. */
async function update(options: readonly string[]): Promise<void> {
  await output('apt-get', [...options, ...NO_SANDBOX, 'update', '-qq']).catch((error: Error) =>
    console.error(error.message),
  );
}

/** apt's own user could not write to the folders of ours. */
const NO_SANDBOX = ['-o', 'APT::Sandbox::User=root'];

/** The path of the downloaded package, in a folder of its own within `target` whose name starts with a dot. */
async function download(found: PackageRecord | undefined, target: string, options: readonly string[]): Promise<string> {
  if (found === undefined) {
    throw new CrosvmError(
      'E_GUEST_PACKAGE',
      `apt does not know the guest's packages; run apt-get update, or ${OWN_KERNEL}`,
    );
  }
  const folder = mkdtempSync(join(target, '.download-'));
  const megabytes = Math.max(1, Math.round(found.size / 1e6));
  await step(`Downloading ${found.name} ${found.version} (${megabytes} MB)`, () =>
    output('apt-get', [...options, ...NO_SANDBOX, 'download', '-qq', `${found.name}=${found.version}`], {
      cwd: folder,
    }),
  );
  const [file] = readdirSync(folder);
  return join(folder, file!);
}

/** With patterns it stops reading after the last one was found. */
async function unpack(archive: string, target: string, patterns: readonly string[] = []): Promise<void> {
  const chosen = patterns.length === 0 ? '' : '--wildcards --occurrence=1 --transform "s,.*/,,"';
  const script = `archive=$1 target=$2; shift 2; dpkg-deb --fsys-tarfile "$archive" | tar -xf - -C "$target" ${chosen} "$@"`;
  await step(`Unpacking ${basename(archive)}`, () => output('sh', ['-c', script, 'sh', archive, target, ...patterns]));
  rmSync(dirname(archive), { recursive: true });
}

function noApt(): CrosvmError {
  return new CrosvmError('E_GUEST_APT', `there is no apt on this machine to fetch a guest with; ${OWN_KERNEL}`);
}
