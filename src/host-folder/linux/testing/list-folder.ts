/** Prints, as JSON, all that clients see of a folder of the host: a program, as a test runs it where something is mounted. */
import { DirectoryEntry, FileEntry } from '../../attributes.ts';
import { S_IFDIR, S_IFMT } from '../../constants.ts';
import { ROOT_INODE } from '../../folder.ts';
import { Name } from '../../name.ts';
import { openFolder } from '../open-folder.ts';

/** A file, by its path in the folder. Numbers are in hexadecimal. */
export interface ListedFile {
  readonly path: string;
  readonly number: string;
  /** The number that it has where its folder is read. */
  readonly listedAs: string;
  readonly isMountRoot: boolean;
}

const folder = openFolder(process.argv[2]!);
const hex = ({ inoLow, inoHigh }: { inoLow: number; inoHigh: number }) =>
  ((BigInt(inoHigh) << 32n) | BigInt(inoLow)).toString(16);

/** `around`: the folders that it is in. */
function list(parent: number, path: string, around: readonly number[]): ListedFile[] {
  const file = folder.openDirectory(parent);
  const next = new DirectoryEntry();
  const found: { readonly name: string; readonly listedAs: string }[] = [];
  while (folder.nextEntry(file, next.cookieLow, next.cookieHigh, next) === 1) {
    if (!next.name.isDots) found.push({ name: next.name.toString(), listedAs: hex(next) });
  }
  folder.release(file);
  return found.flatMap(({ name, listedAs }) => {
    const entry = new FileEntry();
    if (folder.lookup(parent, Name.of(name), entry) < 0) throw new Error(`${path}/${name} is not there`);
    const { attributes, inode } = entry;
    const listed = { path: `${path}/${name}`, number: hex(attributes), listedAs, isMountRoot: attributes.isMountRoot };
    const isNew = (attributes.mode & S_IFMT) === S_IFDIR && !around.includes(inode);
    return isNew ? [listed, ...list(inode, listed.path, [...around, inode])] : [listed];
  });
}

process.stdout.write(JSON.stringify(list(ROOT_INODE, '', [ROOT_INODE])));
