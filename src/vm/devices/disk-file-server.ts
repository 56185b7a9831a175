/** Opens the files that a disk's image refers to for the disk's process, which has found out in its jail which those are. */
import { realpathSync } from 'node:fs';
import { hostDiskFiles } from '../../base/host-disk-files.ts';
import type { HostFile } from '../../base/host-file.ts';
import { type PacketConnection, packetPair } from '../../base/unix-socket.ts';
import { StreamConnection } from '../../base/unix-stream.ts';
import type { DiskRequest } from '../../device-process/device-spec.ts';
import { type FileAnswer, type FileQuestion, parseQuestion } from '../../device-process/file-broker.ts';
import { CrosvmError } from '../../errors.ts';

/** More parts than this an image does not have; the descriptors of its process end at about that. */
const MAX_FILES = 1024;
/** How long a process may take to read an answer. */
const ANSWER_TIMEOUT_MS = 100;

/**
 * Serves the process of one disk, until that goes away, or `close`. The process is not trusted: it may be what a hostile image has
 * made of it. So it gets what the image may open: files for which the user's rules (`trust`) are kept, and for writing
 * only if the disk is written to.
 */
export class DiskFileServer implements Disposable {
  /** The process's end of the connection. */
  readonly fd: number;
  readonly #theirs: PacketConnection;
  readonly #ours: PacketConnection;
  readonly #disk: DiskRequest;
  #left = MAX_FILES;

  constructor(disk: DiskRequest) {
    this.#disk = disk;
    [this.#ours, this.#theirs] = packetPair();
    this.fd = this.#theirs.fd;
    this.#ours.onMessage((packet) => {
      if (packet === undefined || this.#left-- === 0) this.close();
      else this.#answer(packet);
    });
  }

  /** The process has its end. */
  [Symbol.dispose](): void {
    this.#theirs.close();
  }

  /** Nothing is opened any more. */
  close(): void {
    this.#ours.close();
    this.#theirs.close();
  }

  #answer(packet: Uint8Array): void {
    let file: HostFile;
    try {
      const opened = openReference(this.#disk, parseQuestion(packet));
      file = opened.file;
      this.#send({ kind: 'file', path: opened.path }, file.descriptors);
    } catch (error) {
      const { code = 'E_FILE_BROKER', message } = error as Partial<CrosvmError> & Error;
      this.#send({ kind: 'refused', code, message }, []);
      return;
    }
    file.close();
  }

  #send(answer: FileAnswer, fds: readonly number[]): void {
    const bytes = new TextEncoder().encode(JSON.stringify(answer));
    try {
      new StreamConnection(this.#ours.fd).send(bytes, fds, ANSWER_TIMEOUT_MS);
    } catch {
      this.close(); // nobody listens
    }
  }
}

function openReference(disk: DiskRequest, question: FileQuestion): { file: HostFile; path: string } {
  const { path: image, overlay, trust, lock, direct } = disk;
  const writable = question.writable && disk.writable && overlay === undefined;
  const { store, path } = hostDiskFiles.open(question.path, { writable, lock, direct, regular: true });
  const file = store as HostFile;
  if (trust.outside || hostDiskFiles.isBeside(realpathSync(image), path)) return { file, path };
  file.close();
  throw new CrosvmError(
    'E_DISK_TRUST',
    `${image}: ${path}, which it refers to, is outside of the image's folder; if you trust the image, allow "outside"`,
  );
}
