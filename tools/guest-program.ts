/** Programs of Debian that are linked dynamically, with the libraries that they need, for a guest that has nothing else. */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { CrosvmError } from '../src/errors.ts';
import { cachedFolder } from './cache.ts';
import { type Architecture, debianArchive, type LookupAll } from './debian-archive.ts';
import type { PackageRecord } from './debian-control.ts';
import type { GuestFile } from './initramfs.ts';
import { output } from './run.js';

/** A program and the libraries that it needs, all in one folder. */
export interface GuestProgram {
  readonly files: readonly GuestFile[];
  /** Shell words that run it in that folder. */
  readonly command: string;
}

/** Takes the program `usr/bin/NAME` out of a package of Debian, NAME if it is not given. Needs readelf. */
export async function fetchProgram(
  name: string,
  architecture: Architecture = 'amd64',
  packageName: string = name,
): Promise<GuestProgram> {
  const folder = await cachedFolder(`guest/${name}-${architecture}`, async (target) => {
    const tree = join(target, '.tree');
    mkdirSync(tree);
    const archive = debianArchive(architecture);
    await archive.fetch(() => libraryClosure([packageName], archive.lookUpAll), tree);
    await collect(join(tree, 'usr', 'bin', name), tree, target);
    rmSync(tree, { recursive: true });
  });
  const files = readdirSync(folder).map((file) => ({
    name: file,
    data: readFileSync(join(folder, file)),
    executable: true,
  }));
  const loader = files.find((file) => /^ld-linux.*\.so/.test(file.name));
  if (loader === undefined) throw new CrosvmError('E_GUEST_CACHE', `${folder} holds no loader; remove the folder`);
  return { files, command: `./${loader.name} --library-path . ./${name}` };
}

/** A folder with these packages of Debian and the libraries that they need, as they are unpacked. */
export async function fetchTree(packages: readonly string[]): Promise<string> {
  return cachedFolder(`guest/tree-${packages.join('-')}`, async (target) => {
    const archive = debianArchive();
    await archive.fetch(() => libraryClosure(packages, archive.lookUpAll), target);
  });
}

/** Packages, and the libraries among those that they depend on, directly or not. Throws `E_GUEST_PACKAGE` if there is none. */
export async function libraryClosure(names: readonly string[], look: LookupAll): Promise<PackageRecord[]> {
  const found = new Map<string, PackageRecord>();
  for (let missing = [...names]; missing.length > 0; ) {
    for (const record of await look(missing)) found.set(record.name, record);
    const unknown = missing.find((name) => !found.has(name));
    if (unknown !== undefined) throw new CrosvmError('E_GUEST_PACKAGE', `apt does not know the package ${unknown}`);
    const depends = [...found.values()].flatMap((record) => record.depends);
    missing = [...new Set(depends)].filter((name) => /^z?lib/.test(name) && !found.has(name));
  }
  return [...found.values()];
}

/** Copies the program and, under the names by which they are asked for, the shared objects that it needs. */
async function collect(program: string, tree: string, target: string): Promise<void> {
  const places = new Map(
    readdirSync(tree, { recursive: true, encoding: 'utf8' })
      .filter((path) => /\.so(\.|$)/.test(path))
      .map((path) => [basename(path), join(tree, path)]),
  );
  const needed = new Map([[basename(program), program]]);
  for (const [name, path] of needed) {
    copyFileSync(realpathSync(path), join(target, name));
    for (const other of neededObjects(await output('readelf', ['--dynamic', '--wide', path]))) {
      const place = places.get(other);
      if (place === undefined)
        throw new CrosvmError('E_GUEST_PACKAGE', `no package brings ${other}, which ${name} needs`);
      needed.set(other, place);
    }
  }
}

/** The names in the NEEDED entries of what `readelf --dynamic` prints (System V ABI, "Dynamic Section"). */
export function neededObjects(dynamicSection: string): string[] {
  return [...dynamicSection.matchAll(/\(NEEDED\).*\[(.+)\]$/gm)].map((match) => match[1]!);
}
