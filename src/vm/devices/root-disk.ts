import { CrosvmError } from '../../errors.ts';
import type { VmConfig } from '../config.ts';

const LETTERS = 26;

/** What holds a guest's root file system. */
export interface RootDisk {
  /** As Linux calls it. */
  readonly device: string;
  readonly writable: boolean;
}

/** The disk or persistent memory that is marked as the root. Throws `E_OPTION` if there are two. */
export function rootDisk({ block, pmem }: VmConfig): RootDisk | undefined {
  const roots = [
    ...block.map(({ root, ro }, i) => ({ root, ro, device: diskName(i) })),
    ...pmem.map(({ root, ro }, i) => ({ root, ro, device: `/dev/pmem${i}` })),
  ].filter(({ root }) => root);
  const [first, second] = roots;
  if (second !== undefined) throw new CrosvmError('E_OPTION', 'there is more than one root disk');
  if (first === undefined) return undefined;
  if (first.device === undefined) {
    throw new CrosvmError('E_OPTION', `the root disk is not among the first ${LETTERS} disks`);
  }
  return { device: first.device, writable: !first.ro };
}

function diskName(index: number): string | undefined {
  return index < LETTERS ? `/dev/vd${String.fromCharCode(0x61 + index)}` : undefined;
}
