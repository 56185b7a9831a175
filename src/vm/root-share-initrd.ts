/** What lets a guest start from a shared folder although its kernel has the drivers for that as modules only. */
import { RootedFolder } from '../base/rooted-folder.ts';
import { platformUnpackers } from '../base/zlib.ts';
import { CrosvmError } from '../errors.ts';
import { kernelParameters } from '../initramfs/kernel-parameters.ts';
import { MAX_MODULE_SIZE, unpackModule } from '../initramfs/module-file.ts';
import { chooseModules, moduleName } from '../initramfs/modules.ts';
import { findRootShare, type RootShare } from '../initramfs/root-share.ts';
import { type Module, shareInitramfs } from '../initramfs/share-initramfs.ts';
import { bytesSource, type KernelSource } from '../loader/kernel-source.ts';
import { linuxFacts } from '../loader/linux-facts.ts';
import type { Log } from '../log.ts';
import type { VmConfig } from './config.ts';

/** Debian's lists of dependencies have 700 KiB at most. */
const MAX_LIST_SIZE = 8 << 20;
/** All modules together. Debian's, which are not compressed, have 1 MiB. */
const MAX_MODULES_SIZE = 64 << 20;

/**
 * An initramfs that mounts the shared folder which the command line calls the root file system, and starts its init. Undefined
 * where there is no such folder, where it has no modules for this kernel, or the kernel needs none. Throws `E_MODULES` or
 * `E_FILE_OPEN` for modules that are no good.
 */
export function rootShareInitrd(
  config: VmConfig,
  kernel: KernelSource | undefined,
  commandLine: string,
  log: Log,
): KernelSource | undefined {
  const parameters = kernelParameters(commandLine);
  const root = findRootShare(parameters, config.sharedDir);
  if (kernel === undefined || root === undefined) return undefined;
  const linux = linuxFacts(kernel);
  if (linux === undefined) return undefined;
  const modules = readModules(root, linux.release, log);
  if (modules.length === 0) return undefined;
  log(
    'info',
    `no initrd was given: an initramfs of our own loads ${modules.map(({ name }) => name).join(', ')} and mounts ${root.tag}`,
  );
  const bytes = shareInitramfs(root, modules, parameters, linux.mountsReadOnly);
  return bytesSource(`the initramfs for ${root.folder}`, bytes);
}

/** The modules in the folder that this kernel needs to mount it. */
function readModules({ folder: path, drivers }: RootShare, release: string, log: Log): Module[] {
  using folder = new RootedFolder(path);
  const at = (name: string) => `lib/modules/${release}/${name}`;
  const dependencies = readText(folder, at('modules.dep'));
  if (dependencies === undefined) {
    log('debug', `${path} has no modules of Linux ${release}, so there is no initramfs for it`);
    return [];
  }
  const builtin = readText(folder, at('modules.builtin'));
  const list = folder.nameOf(at('modules.dep'));
  const choice = chooseModules(drivers, { name: list, dependencies, builtin });
  if ('missing' in choice) {
    log('warn', `${list}: there is no ${choice.missing}, which it takes to mount the root file system from the host`);
    return [];
  }
  let room = MAX_MODULES_SIZE;
  return choice.paths.map((file) => {
    const bytes = readModule(folder, at(file));
    room -= bytes.length;
    if (room < 0)
      throw new CrosvmError('E_MODULES', `${list}: the modules have more than ${MAX_MODULES_SIZE >> 20} MiB`);
    return { name: moduleName(file), bytes };
  });
}

function readText(folder: RootedFolder, path: string): string | undefined {
  const bytes = readAll(folder, path, MAX_LIST_SIZE);
  return bytes && new TextDecoder().decode(bytes);
}

function readModule(folder: RootedFolder, path: string): Uint8Array {
  const bytes = readAll(folder, path, MAX_MODULE_SIZE);
  const name = folder.nameOf(path);
  if (bytes === undefined) throw new CrosvmError('E_MODULES', `${name}: the module is missing`);
  return unpackModule(name, bytes, platformUnpackers);
}

/** Undefined if there is no such file. */
function readAll(folder: RootedFolder, path: string, max: number): Uint8Array | undefined {
  using file = folder.open(path);
  if (file === undefined) return undefined;
  if (file.size > max) throw new CrosvmError('E_MODULES', `${file.name}: is larger than ${max >> 20} MiB`);
  return file.readAt(0, file.size);
}
