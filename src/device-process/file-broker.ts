/**
 * How a disk's process gets the files that its image refers to, once it is in its jail and has found out which: it asks the
 * VMM, which opens them beneath its own rules. A question and an answer are each one packet of JSON.
 */
import { hostDiskFiles, identityOf } from '../base/host-disk-files.ts';
import { HostFile } from '../base/host-file.ts';
import { StreamConnection } from '../base/unix-stream.ts';
import type { DiskFiles, FileAccess, OpenedFile } from '../disk/disk-files.ts';
import { CrosvmError } from '../errors.ts';

/** An answer names one path, or says why there is no file. */
const MAX_ANSWER = 65536;

/** Of a file; by which rules it is opened besides, the VMM knows. */
export interface FileQuestion extends Pick<FileAccess, 'writable'> {
  readonly path: string;
}

export type FileAnswer =
  /** With the file beside it and, if it is to be read past the page cache, once more for that. */
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'refused'; readonly code: string; readonly message: string };

/** Reads a question, of a process that may have been taken over. Throws `E_FILE_BROKER`. */
export function parseQuestion(packet: Uint8Array): FileQuestion {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(packet));
  } catch (cause) {
    throw new CrosvmError('E_FILE_BROKER', 'a question for a file is not JSON', { cause });
  }
  const { path, writable } = (typeof value === 'object' ? (value ?? {}) : {}) as Record<string, unknown>;
  if (typeof path === 'string' && path.startsWith('/') && !path.includes('\0') && typeof writable === 'boolean') {
    return { path, writable };
  }
  throw new CrosvmError('E_FILE_BROKER', 'a question for a file is none');
}

/** The files of the host as a process in its jail gets them: over a connection with who opens them (`fd`, SOCK_SEQPACKET). */
export function brokeredDiskFiles(fd: number): DiskFiles {
  return { ...hostDiskFiles, open: (path, access) => ask(new StreamConnection(fd), path, access) };
}

function ask(broker: StreamConnection, path: string, { writable, direct }: FileAccess): OpenedFile {
  const question: FileQuestion = { path, writable };
  broker.send(new TextEncoder().encode(JSON.stringify(question)));
  broker.waitReadable(-1);
  const packet = new Uint8Array(MAX_ANSWER);
  const fds: number[] = [];
  const n = broker.receive(packet, 0, packet.length, fds);
  if (n <= 0) throw new CrosvmError('E_FILE_BROKER', `${path}: cannot be opened: it is too late for that`);
  const answer = JSON.parse(new TextDecoder().decode(packet.subarray(0, n))) as FileAnswer;
  if (answer.kind === 'refused') throw new CrosvmError(answer.code, answer.message);
  const store = HostFile.fromDescriptors(path, fds, { writable, direct });
  return { store, path: answer.path, identity: identityOf(store.fd) };
}
