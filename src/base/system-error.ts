import { getSystemErrorMap } from 'node:util';
import { CrosvmError } from '../errors.ts';

/** A system call that failed. The message names the call, what it was about, and the errno in words and by name. */
export class SystemError extends CrosvmError {
  /** The call: `open`, `ioctl(KVM_RUN)`, ... */
  readonly call: string;
  /** The errno by name (`ENOENT`), or `E` and the number when this Node has no name for it. */
  readonly errno: string;

  /** `about` is what the call was applied to, such as a path. */
  constructor(call: string, errnoNumber: number, about?: string) {
    const [name, words] = getSystemErrorMap().get(-errnoNumber) ?? [`E${errnoNumber}`, `error ${errnoNumber}`];
    super('E_SYSTEM', `${call} failed${about === undefined ? '' : ` for ${about}`}: ${words} (${name})`);
    this.name = 'SystemError';
    this.call = call;
    this.errno = name;
  }
}
