/**
 * The area in shared memory by which the successor of a back end that crashed finds its place in a packed ring
 * (vhost-user, "Inflight I/O tracking"). Of its fields we need four:
 *
 *     u16 used index at 16, u16 old used index at 18, u8 used wrap counter at 20, u8 old used wrap counter at 21
 *
 * Our devices give requests back in the order in which they took them, so whatever was under way is still in the ring,
 * from the used index on; no copies of descriptors are kept.
 */
const VERSION = 1;
const AT = { version: 8, usedIndex: 16, oldUsedIndex: 18, usedWrap: 20, oldUsedWrap: 21 };

export class PackedInflight {
  readonly #view: DataView;

  /** `view` is the area of one queue, of `inflightSize` bytes; zeroes when it is new. */
  constructor(view: DataView) {
    this.#view = view;
  }

  /**
   * Where to go on: the index and the wrap counter of the next used descriptor. For a new area those are `index` and
   * `wrap`. `isUsed` looks whether the driver can see that the descriptor there was given back in that round.
   */
  recover(
    index: number,
    wrap: number,
    isUsed: (index: number, wrap: number) => boolean,
  ): { index: number; wrap: number } {
    const view = this.#view;
    let place = { index, wrap };
    if (view.getUint16(AT.version, true) === VERSION) {
      const old = { index: view.getUint16(AT.oldUsedIndex, true), wrap: view.getUint8(AT.oldUsedWrap) & 1 };
      const next = { index: view.getUint16(AT.usedIndex, true), wrap: view.getUint8(AT.usedWrap) & 1 };
      // The predecessor may have died before or after it made its last request visible.
      place = isUsed(old.index, old.wrap) ? next : old;
    }
    view.setUint16(AT.version, VERSION, true);
    this.moving(place.index, place.wrap);
    this.moved(place.index, place.wrap);
    return place;
  }

  /** To be called before requests become visible to the driver as given back, with where the ring stands then. */
  moving(index: number, wrap: number): void {
    this.#view.setUint16(AT.usedIndex, index, true);
    this.#view.setUint8(AT.usedWrap, wrap);
  }

  /** To be called when they have become visible. */
  moved(index: number, wrap: number): void {
    this.#view.setUint16(AT.oldUsedIndex, index, true);
    this.#view.setUint8(AT.oldUsedWrap, wrap);
  }
}
