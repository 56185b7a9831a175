import { HostFile } from '../../base/host-file.ts';
import type { DiskRequest } from '../../device-process/device-spec.ts';
import { openDiskFiles } from '../../device-process/open-disk-files.ts';
import { DiskFileServer } from './disk-file-server.ts';
import type { GivenSpec, OwnDevice } from './own-device.ts';

/** A disk, with the temporary file that keeps what was written to it, and who opens what its image refers to. */
export class OwnDisk implements OwnDevice {
  readonly #disk: DiskRequest;
  readonly #temporary: HostFile | undefined;
  #server: DiskFileServer | undefined;

  constructor(disk: DiskRequest) {
    this.#disk = disk;
    if (disk.overlay?.kind === 'temporary' && disk.writable) this.#temporary = HostFile.temporary();
  }

  /** Throws `E_FILE_OPEN`, `E_DISK_LOCKED`. */
  async give(inJail: boolean): Promise<GivenSpec> {
    const files = openDiskFiles(this.#disk, this.#temporary);
    if (!inJail) return files;
    this.#server?.close();
    const server = new DiskFileServer(this.#disk);
    this.#server = server;
    return {
      spec: { ...files.spec, broker: { fd: server.fd } },
      [Symbol.dispose]() {
        files[Symbol.dispose]();
        server[Symbol.dispose]();
      },
    };
  }

  isUp(): void {
    this.#server?.close();
  }

  close(): void {
    this.#server?.close();
    this.#temporary?.close();
  }
}
