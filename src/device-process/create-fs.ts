import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { notAFolder, openError } from '../base/open-error.ts';
import { PeriodicTimer } from '../base/timer.ts';
import { openFolder } from '../host-folder/linux/open-folder.ts';
import { FsDevice } from '../virtio/fs/fs-device.ts';
import type { FsSpec } from './device-spec.ts';
import type { PreparedDevice } from './made-device.ts';

export function prepareFs({ path, tag, queues, options, users, groups }: FsSpec): PreparedDevice {
  const absolute = resolve(path);
  mustBeFolder(absolute);
  const timer = new PeriodicTimer();
  // What was open before the jail would still lead out of it.
  let open = () => openFolder(absolute);
  return {
    share: {
      path: absolute,
      readOnly: options.readOnly,
      users,
      groups,
      becameRoot: () => (open = () => openFolder('/', '')),
    },
    finish: () => ({ device: new FsDevice(tag, queues, open(), options, timer) }),
  };
}

function mustBeFolder(path: string): void {
  let isFolder: boolean;
  try {
    isFolder = statSync(path).isDirectory();
  } catch (error) {
    throw openError(path, (error as NodeJS.ErrnoException).code ?? String(error), error);
  }
  if (!isFolder) throw notAFolder(path);
}
