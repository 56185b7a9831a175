import type { FileAttributes } from '../../src/host-folder/attributes.ts';
import { S_IFDIR, S_IFLNK, S_IFREG } from '../../src/host-folder/constants.ts';
import { ReadOnlyTree } from '../../src/host-folder/read-only-tree.ts';
import type { ScatterList } from '../../src/memory/scatter-list.ts';

const DEPTH = 8;
const NAMES = ['a', 'b', 'c', 'link', 'sub'];

/** Folders in folders, with files of many sizes, all known by their paths. */
export class MadeUpTree extends ReadOnlyTree<string> {
  constructor() {
    super('');
  }

  protected override find(folder: string, name: string): string | undefined {
    return NAMES.includes(name) && folder.length < 4 * DEPTH ? `${folder}/${name}` : undefined;
  }

  protected override list(folder: string): [string, string][] {
    return NAMES.map((name) => [name, `${folder}/${name}`]);
  }

  protected override describe(file: string, attributes: FileAttributes): void {
    const isFolder = file === '' || file.endsWith('sub');
    attributes.mode = (isFolder ? S_IFDIR : file.endsWith('link') ? S_IFLNK : S_IFREG) | 0o755;
    attributes.size = file.length ** 5;
  }

  protected override readContent(file: string, offset: number, target: ScatterList): number {
    const length = Math.max(0, Math.min(target.length, file.length ** 5 - offset));
    target.zero(0, length);
    return length;
  }

  protected override linkTarget(link: string): string {
    return link.repeat(1000);
  }
}
