import { setFileSystemIds, setUmask } from '../../base/file-credentials.ts';

/** Whose name the calling thread makes files in, changed only where it is not the same already. */
export class Credentials {
  #uid = 0;
  #gid = 0;
  #umask = -1;
  readonly #canSwitch: boolean;

  /** Without the right to become others, all files are made as the user that this process is. */
  constructor(canSwitch: boolean) {
    this.#canSwitch = canSwitch;
  }

  actAs(uid: number, gid: number, umask: number): void {
    if (this.#canSwitch && (uid !== this.#uid || gid !== this.#gid)) {
      setFileSystemIds(uid, gid);
      this.#uid = uid;
      this.#gid = gid;
    }
    if (umask !== this.#umask) {
      setUmask(umask);
      this.#umask = umask;
    }
  }
}
