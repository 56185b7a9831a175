import { close } from '../../base/fd.ts';
import { HostFile } from '../../base/host-file.ts';
import { createMemfd } from '../../base/memfd.ts';
import type { DiskRequest } from '../../device-process/device-spec.ts';
import { openDiskFiles } from '../../device-process/open-disk-files.ts';
import { TABLE_LOGS_SIZE } from '../../disk/qcow2/table-log.ts';
import { DiskFileServer } from './disk-file-server.ts';
import type { GivenSpec, OwnDevice } from './own-device.ts';

/**
 * A disk, with the temporary file that keeps what was written to it, the memory in which changes of its tables outlive its
 * process, and who opens what its image refers to.
 */
export class OwnDisk implements OwnDevice {
  readonly #disk: DiskRequest;
  readonly #temporary: HostFile | undefined;
  readonly #tableLogs: number | undefined;
  #server: DiskFileServer | undefined;

  constructor(disk: DiskRequest) {
    this.#disk = disk;
    if (disk.overlay?.kind === 'temporary' && disk.writable) this.#temporary = HostFile.temporary();
    if (disk.writable) this.#tableLogs = createMemfd('crosvm-table-logs', TABLE_LOGS_SIZE);
  }

  /** Throws `E_FILE_OPEN`, `E_DISK_LOCKED`. */
  async give(inJail: boolean): Promise<GivenSpec> {
    const files = openDiskFiles(this.#disk, this.#temporary);
    const tableLogs = this.#tableLogs;
    const spec = { ...files.spec, ...(tableLogs !== undefined && { tableLogs: { fd: tableLogs } }) };
    if (!inJail) return { spec, [Symbol.dispose]: () => files[Symbol.dispose]() };
    this.#server?.close();
    const server = new DiskFileServer(this.#disk);
    this.#server = server;
    return {
      spec: { ...spec, broker: { fd: server.fd } },
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
    if (this.#tableLogs !== undefined) close(this.#tableLogs);
  }
}
