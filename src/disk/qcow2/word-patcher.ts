import type { ByteStore } from '../byte-store.ts';

const PAGE = 4096;

/** Changes single 32-bit words of a file. Words in a row of pages cost one read and one write for each page. */
export class WordPatcher {
  readonly #store: ByteStore;
  readonly #bytes = new Uint8Array(PAGE);
  readonly #view = new DataView(this.#bytes.buffer);
  #page = -1;
  /** How much of the page the file has. */
  #length = 0;

  constructor(store: ByteStore) {
    this.#store = store;
  }

  /** Sets the word at `at`, a multiple of 4 within the file. */
  set(at: number, value: number): void {
    const inPage = at % PAGE;
    if (at - inPage !== this.#page) {
      this.write();
      this.#page = at - inPage;
      this.#length = Math.min(PAGE, this.#store.size - this.#page);
      this.#store.read(this.#page, this.#bytes);
    }
    this.#view.setUint32(inPage, value);
  }

  /** Writes what was set last; the words before are written already. */
  write(): void {
    if (this.#page >= 0) this.#store.write(this.#page, this.#bytes.subarray(0, this.#length));
    this.#page = -1;
  }
}
