import { Name } from '../name.ts';

/** In front of the names of clients' `security.` attributes where the host's are not for them. */
const PREFIX = 'user.virtiofs.';
const REWRITTEN = 'security.';

/** What the host calls the extended attributes of clients. */
export class AttributeNames {
  /** Clients have `security.` attributes of their own, kept under other names. */
  readonly #rewritesSecurity: boolean;
  /** One that clients do not see. */
  readonly #own: string | undefined;

  constructor(rewritesSecurity = false, own?: string) {
    this.#rewritesSecurity = rewritesSecurity;
    this.#own = own;
  }

  /** All names are the host's. */
  get areTheHosts(): boolean {
    return !this.#rewritesSecurity && this.#own === undefined;
  }

  /** The host's name; undefined for what clients must not see by this one, as it is not what they mean. */
  ofHost(name: Name): Name | undefined {
    const { bytes } = name.memory;
    if (this.#isOwn(bytes, name.start, name.length)) return undefined;
    if (!this.#rewritesSecurity) return name;
    if (startsWith(bytes, name.start, name.length, PREFIX)) return undefined;
    return startsWith(bytes, name.start, name.length, REWRITTEN) ? Name.of(PREFIX + name.toString()) : name;
  }

  /** Turns a list of the host's names (a zero behind each) in the first `length` bytes into clients'; returns its length. */
  showList(bytes: Uint8Array, length: number): number {
    let to = 0;
    for (let from = 0; from < length; ) {
      const end = bytes.indexOf(0, from) + 1;
      const shown = this.#shownFrom(bytes, from, end - 1);
      if (shown !== -1) {
        bytes.copyWithin(to, shown, end);
        to += end - shown;
      }
      from = end;
    }
    return to;
  }

  /** Where the name that clients see begins in the one of the host; -1 if they see none. */
  #shownFrom(bytes: Uint8Array, start: number, end: number): number {
    if (this.#isOwn(bytes, start, end - start)) return -1;
    if (!this.#rewritesSecurity) return start;
    if (startsWith(bytes, start, end - start, PREFIX)) return start + PREFIX.length;
    return startsWith(bytes, start, end - start, REWRITTEN) ? -1 : start;
  }

  #isOwn(bytes: Uint8Array, start: number, length: number): boolean {
    return this.#own !== undefined && length === this.#own.length && startsWith(bytes, start, length, this.#own);
  }
}

function startsWith(bytes: Uint8Array, start: number, length: number, text: string): boolean {
  if (length < text.length) return false;
  for (let i = 0; i < text.length; i++) if (bytes[start + i] !== text.charCodeAt(i)) return false;
  return true;
}
