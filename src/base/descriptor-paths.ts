import { callMemory } from './file-calls.ts';

/**
 * Paths of open descriptors, `/proc/self/fd/N`: system calls that take only paths reach exactly what is open, whatever its
 * own path has become.
 */
export class DescriptorPaths {
  readonly #memory = callMemory(64);
  readonly #digitsAt: number;

  /** `folder` is where the kernel lists this process's descriptors; the empty text if it is the working directory. */
  constructor(folder: string) {
    const prefix = folder === '' ? '' : `${folder}/`;
    this.#digitsAt = prefix.length;
    for (let i = 0; i < prefix.length; i++) this.#memory.bytes[i] = prefix.charCodeAt(i);
  }

  /** The address of the path of `fd`, until the next call. */
  of(fd: number): number {
    const { bytes, address } = this.#memory;
    let digits = 1;
    for (let rest = fd; rest >= 10; rest = Math.floor(rest / 10)) digits++;
    bytes[this.#digitsAt + digits] = 0;
    for (let i = this.#digitsAt + digits - 1, rest = fd; i >= this.#digitsAt; i--) {
      bytes[i] = 0x30 + (rest % 10);
      rest = Math.floor(rest / 10);
    }
    return address;
  }
}
