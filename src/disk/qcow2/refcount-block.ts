/** Reference counts as they are packed in a refcount block: 2^order bits each, from the low bits of a byte upwards. */
import { TWO_32 } from './layout.ts';

/** The count at `index` of a block, or of a piece of one. A 64-bit count is cut to what a Number holds. */
export function readRefcount(view: DataView, order: number, index: number): number {
  switch (order) {
    case 4:
      return view.getUint16(index * 2);
    case 3:
      return view.getUint8(index);
    case 5:
      return view.getUint32(index * 4);
    case 6:
      return view.getUint32(index * 8) * TWO_32 + view.getUint32(index * 8 + 4);
    default: {
      const bits = 1 << order;
      const bit = index * bits;
      return (view.getUint8(bit >>> 3) >>> (bit & 7)) & ((1 << bits) - 1);
    }
  }
}

export function writeRefcount(view: DataView, order: number, index: number, count: number): void {
  if (order === 4) view.setUint16(index * 2, count);
  else if (order === 3) view.setUint8(index, count);
  else if (order === 5) view.setUint32(index * 4, count);
  else if (order === 6) {
    view.setUint32(index * 8, Math.floor(count / TWO_32));
    view.setUint32(index * 8 + 4, count % TWO_32);
  } else {
    const bits = 1 << order;
    const bit = index * bits;
    const mask = ((1 << bits) - 1) << (bit & 7);
    view.setUint8(bit >>> 3, (view.getUint8(bit >>> 3) & ~mask) | (count << (bit & 7)));
  }
}

/** The largest count. */
export function maxRefcount(order: number): number {
  return order === 6 ? Number.MAX_SAFE_INTEGER : 2 ** (1 << order) - 1;
}
