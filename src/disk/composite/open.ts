import type { Disk } from '../disk.ts';
import type { OpenedFile } from '../disk-files.ts';
import type { Opening } from '../open-disk.ts';
import { CompositeDisk, type Part } from './composite-disk.ts';
import { readCompositeIndex } from './composite-index.ts';

/** Opens a composite disk with all of its parts. The file with the index is read now and not needed again. */
export function openComposite(opening: Opening, file: OpenedFile): Disk {
  const { length, components } = readCompositeIndex(file.store);
  const parts: Part[] = [];
  try {
    components.forEach(({ path, offset, writable }, i) => {
      const disk = opening.openReference(file, {
        name: path,
        role: 'part',
        format: 'guess',
        writable: writable && file.store.writable,
      });
      parts.push({ offset, length: (components[i + 1]?.offset ?? length) - offset, disk });
    });
  } catch (error) {
    for (const { disk } of parts) disk.close();
    throw error;
  }
  file.store.close();
  return new CompositeDisk(file.path, length, parts);
}
