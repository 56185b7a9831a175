import { statfsWords } from '../../base/file-calls.ts';
import type { FolderStatistics } from '../attributes.ts';

/** What the last statfs(2) has found (`statfsWords`). */
export function takeStatistics(to: FolderStatistics): void {
  const field = (index: number) => Number(statfsWords[index]!);
  to.type = field(0);
  to.blockSize = field(1);
  to.blocks = field(2);
  to.free = field(3);
  to.available = field(4);
  to.files = field(5);
  to.freeFiles = field(6);
  to.nameLength = field(8);
  to.fragmentSize = field(9);
}
