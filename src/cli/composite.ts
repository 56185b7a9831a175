/** Making composite disks. */
import { basename, dirname, relative, resolve } from 'node:path';
import { randomBytes } from '../base/random.ts';
import { encodeCompositeIndex } from '../disk/composite/composite-index.ts';
import { EFI_SYSTEM, LINUX_FILESYSTEM } from '../disk/composite/gpt.ts';
import { layOutComposite } from '../disk/composite/layout.ts';
import type { PartitionWord } from './commands/create-composite.ts';
import { makeFile, withDisk } from './images.ts';

const TRUSTED = { outside: true, probe: true, dataFile: true };

/** Makes the composite disk `path` out of images, and the files beside it. */
export async function makeComposite(path: string, partitions: readonly PartitionWord[]): Promise<void> {
  const images = partitions.map((partition) => ({
    label: partition.label,
    path: nameFrom(path, partition.path),
    size: withDisk(partition.path, { trust: TRUSTED }, (disk) => disk.size),
    writable: partition.writable,
    type: partition.efi ? EFI_SYSTEM : LINUX_FILESYSTEM,
    guid: partition.guid ?? randomGuid(),
  }));
  const name = basename(path);
  const names = { header: `${name}.header`, footer: `${name}.footer`, filler: `${name}.filler` };
  const layout = layOutComposite(images, names, randomGuid());
  await makeFile(`${path}.header`, (header) => {
    header.write(0, layout.header);
    return makeFile(`${path}.footer`, (footer) => {
      footer.write(0, layout.footer);
      return makeFile(`${path}.filler`, (filler) => {
        filler.resize(layout.fillerBytes);
        return makeFile(path, (index) => index.write(0, encodeCompositeIndex(layout.index)));
      });
    });
  });
}

/** How a composite disk calls an image: by its place in the disk's own folder, or else by its full path. */
function nameFrom(composite: string, image: string): string {
  const name = relative(resolve(dirname(composite)), resolve(image));
  return name.startsWith('..') ? resolve(image) : name;
}

/** A GUID of random bits (RFC 9562, version 4). */
function randomGuid(): string {
  const bytes = randomBytes(16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
