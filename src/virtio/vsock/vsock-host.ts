import type { ScatterList } from '../../memory/scatter-list.ts';

/** The host's end of a connection. */
export interface VsockStream {
  /** What to wait for. */
  readonly fd: number;
  /** Reads into the first pieces of a list. Returns how many bytes; 0 at the end, -1 when nothing is there now. */
  read(list: ScatterList): number;
  /** Takes bytes of a list from `from` on. Returns how many; -1 when there is no room now. Throws when nobody reads any more. */
  write(list: ScatterList, from: number): number;
  /** Nothing more will be written. */
  endWriting(): void;
  close(): void;
}

/** Who listens on the host, and who wants to connect from there. */
export interface VsockHost {
  /** A connection to the service at a port of the host; undefined when there is none. */
  connect(port: number): VsockStream | undefined;
  /** What is readable when somebody on the host connects; -1 when nobody can. */
  readonly listenFd: number;
  /** The next who connects. It first says which port of the guest it wants: `CONNECT port`, and a new line. */
  accept(): VsockStream | undefined;
  close(): void;
}
