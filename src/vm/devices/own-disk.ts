import { close } from '../../base/fd.ts';
import { HostFile } from '../../base/host-file.ts';
import { createMemfd } from '../../base/memfd.ts';
import type { BlockSpec } from '../../device-process/device-spec.ts';
import { TABLE_LOGS_SIZE } from '../../disk/qcow2/table-log.ts';
import { DiskFileServer } from './disk-file-server.ts';
import { type GivenSpec, keeping, type OwnDevice } from './own-device.ts';

/**
 * A disk, with the temporary file that keeps what was written to it, the memory in which changes of its tables outlive its
 * process, and who opens what its image refers to.
 */
export class OwnDisk implements OwnDevice {
  readonly #spec: BlockSpec;
  readonly #temporary: HostFile | undefined;
  readonly #tableLogs: number | undefined;
  #server: DiskFileServer | undefined;

  constructor(spec: BlockSpec) {
    this.#spec = spec;
    if (spec.overlay?.kind === 'temporary' && spec.writable) this.#temporary = HostFile.temporary();
    if (spec.writable) this.#tableLogs = createMemfd('crosvm-table-logs', TABLE_LOGS_SIZE);
  }

  async give(inJail: boolean): Promise<GivenSpec> {
    const [temporary, tableLogs] = [this.#temporary, this.#tableLogs];
    const spec: BlockSpec = {
      ...this.#spec,
      ...(temporary && { overlay: { kind: 'temporary', fd: temporary.fd } }),
      ...(tableLogs !== undefined && { tableLogs: { fd: tableLogs } }),
    };
    if (!inJail) return keeping(spec);
    this.#server?.close();
    const server = new DiskFileServer(spec);
    this.#server = server;
    return { spec: { ...spec, broker: { fd: server.fd } }, [Symbol.dispose]: () => server[Symbol.dispose]() };
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
