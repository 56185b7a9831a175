/** Packages from Debian's archive, through the apt of this machine. No root needed, and nothing is installed. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { cacheFolder } from '../src/base/cache-folder.ts';
import { CrosvmError } from '../src/errors.ts';
import { type PackageRecord, parsePackageRecords } from './debian-control.ts';
import { step } from './progress.js';
import { output } from './run.js';

/** Looks a package up; undefined when apt does not know it. */
export type Lookup = (name: string) => Promise<PackageRecord | undefined>;

/** Looks several packages up at once, which takes about as long as one. What apt does not know is left out. */
export type LookupAll = (names: readonly string[]) => Promise<PackageRecord[]>;

/** As Debian calls them. amd64 is the machine's own. */
export type Architecture = 'amd64' | 'i386';

/** The packages of one architecture. */
export interface DebianArchive {
  readonly lookUp: Lookup;
  readonly lookUpAll: LookupAll;
  /**
   * Unpacks the packages that `look` finds into the folder `target`: the first file that matches each of `patterns` (of tar,
   * like `*\/bin/busybox`), without its folders; or, without patterns, everything. The lists of packages may be missing, or
   * so old that the archive has a newer version by now: they are fetched if we may, and it is tried again. Throws
   * `E_GUEST_PACKAGE` when there is no such package, `E_GUEST_APT` when there is no apt.
   */
  fetch(look: () => Promise<readonly PackageRecord[]>, target: string, patterns?: readonly string[]): Promise<void>;
}

export const OWN_KERNEL = 'pass a kernel and an initramfs of your own: bin/crosvm run --initrd INITRAMFS KERNEL';

export function debianArchive(architecture: Architecture = 'amd64'): DebianArchive {
  const foreign = architecture !== 'amd64';
  const options = foreign ? privateState(architecture) : [];
  const lookUpAll: LookupAll = (names) => lookUpWith(names, options);
  return {
    lookUpAll,
    lookUp: async (name) => (await lookUpAll([name]))[0],
    async fetch(look, target, patterns) {
      const attempt = async () => {
        const folder = await download(await look(), target, options);
        for (const file of readdirSync(folder)) await unpack(join(folder, file), target, patterns);
        rmSync(folder, { recursive: true });
      };
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

async function lookUpWith(names: readonly string[], options: readonly string[]): Promise<PackageRecord[]> {
  // apt-cache ends with an error for a name that it does not know.
  const text = await output('apt-cache', [...options, 'show', '--no-all-versions', ...names]).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') throw noApt();
      return '';
    },
  );
  return parsePackageRecords(text);
}

/** One source that cannot be reached fails it, although the lists of the others are there now. What counts is the next look-up. */
async function update(options: readonly string[]): Promise<void> {
  await output('apt-get', [...options, ...NO_SANDBOX, 'update', '-qq']).catch((error: Error) =>
    console.error(error.message),
  );
}

/** apt's own user could not write to the folders of ours. */
const NO_SANDBOX = ['-o', 'APT::Sandbox::User=root'];

/** A folder within `target` that holds the downloaded packages and nothing else; its name starts with a dot. */
async function download(found: readonly PackageRecord[], target: string, options: readonly string[]): Promise<string> {
  const [first] = found;
  if (first === undefined) {
    throw new CrosvmError(
      'E_GUEST_PACKAGE',
      `apt does not know the guest's packages; run apt-get update, or ${OWN_KERNEL}`,
    );
  }
  const folder = mkdtempSync(join(target, '.download-'));
  const megabytes = Math.max(1, Math.round(found.reduce((sum, { size }) => sum + size, 0) / 1e6));
  const what = found.length === 1 ? `${first.name} ${first.version}` : `${found.length} packages`;
  const exact = found.map(({ name, version }) => `${name}=${version}`);
  await step(`Downloading ${what} (${megabytes} MB)`, () =>
    output('apt-get', [...options, ...NO_SANDBOX, 'download', '-qq', ...exact], { cwd: folder }),
  );
  return folder;
}

/** With patterns it stops reading after the last one was found. */
async function unpack(archive: string, target: string, patterns: readonly string[] = []): Promise<void> {
  const chosen = patterns.length === 0 ? '' : '--wildcards --occurrence=1 --transform "s,.*/,,"';
  const script = `archive=$1 target=$2; shift 2; dpkg-deb --fsys-tarfile "$archive" | tar -xf - -C "$target" ${chosen} "$@"`;
  await step(`Unpacking ${basename(archive)}`, () => output('sh', ['-c', script, 'sh', archive, target, ...patterns]));
}

function noApt(): CrosvmError {
  return new CrosvmError('E_GUEST_APT', `there is no apt on this machine to fetch a guest with; ${OWN_KERNEL}`);
}
