/**
 * A tree that this program makes up, for a guest to read: `node examples/generated-tree.ts SOCKET`, and for the guest
 *
 *     crosvm run --vhost-user type=fs,socket=SOCKET ...
 *     guest# mount -t virtiofs numbers /mnt
 *     guest# cat /mnt/squares/123456789
 */
import type { FileAttributes } from '../src/host-folder/attributes.ts';
import { S_IFDIR, S_IFLNK, S_IFREG } from '../src/host-folder/constants.ts';
import { ReadOnlyTree } from '../src/host-folder/read-only-tree.ts';
import type { ScatterList } from '../src/memory/scatter-list.ts';
import { serveFolder } from './serve-folder.ts';

const ROOT = '';
const SQUARES = 'squares';
const LINK = 'answer';
const LISTED = 10;

/** `squares/N` for each whole number N, of which ten are listed, and a link to one of them. Files are known by their paths. */
class Numbers extends ReadOnlyTree<string> {
  constructor() {
    super(ROOT);
  }

  protected override find(folder: string, name: string): string | undefined {
    if (folder === ROOT) return name === SQUARES || name === LINK ? name : undefined;
    return /^(0|[1-9]\d{0,100})$/.test(name) ? `${SQUARES}/${name}` : undefined;
  }

  protected override list(folder: string): Iterable<readonly [name: string, file: string]> {
    const names = folder === ROOT ? [SQUARES, LINK] : Array.from({ length: LISTED }, (_, n) => `${n}`);
    return names.map((name) => [name, this.find(folder, name)!]);
  }

  protected override describe(file: string, attributes: FileAttributes): void {
    if (file === ROOT || file === SQUARES) attributes.mode = S_IFDIR | 0o555;
    else if (file === LINK) attributes.mode = S_IFLNK | 0o777;
    else {
      attributes.mode = S_IFREG | 0o444;
      attributes.size = contentOf(file).length;
    }
  }

  protected override readContent(file: string, offset: number, target: ScatterList): number {
    return target.copyFrom(contentOf(file).subarray(offset));
  }

  protected override linkTarget(): string {
    return `${SQUARES}/42`;
  }
}

function contentOf(file: string): Uint8Array {
  const n = BigInt(file.slice(SQUARES.length + 1));
  return new TextEncoder().encode(`${n * n}\n`);
}

await serveFolder(new Numbers(), 'numbers', process.argv[2]!);
