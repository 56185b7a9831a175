import { HostFile } from '../../base/host-file.ts';
import type { BlockSpec } from '../../device-process/device-spec.ts';
import { DiskFileServer } from './disk-file-server.ts';
import { type GivenSpec, keeping, type OwnDevice } from './own-device.ts';

/** A disk, with the temporary file that keeps what was written to it, and who opens what its image refers to. */
export class OwnDisk implements OwnDevice {
  readonly #spec: BlockSpec;
  readonly #temporary: HostFile | undefined;
  #server: DiskFileServer | undefined;

  constructor(spec: BlockSpec) {
    this.#spec = spec;
    if (spec.overlay?.kind === 'temporary' && spec.writable) this.#temporary = HostFile.temporary();
  }

  async give(inJail: boolean): Promise<GivenSpec> {
    const file = this.#temporary;
    const spec: BlockSpec =
      file === undefined ? this.#spec : { ...this.#spec, overlay: { kind: 'temporary', fd: file.fd } };
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
  }
}
