/** The part of the control protocol that is about disks. */
import { fields, wholeNumber } from '../fields.ts';

export interface DiskCommand {
  /** The number of the disk, in the order of the VM's options. */
  readonly disk_index: number;
  /** `new_size` is in bytes. */
  readonly command: { readonly Resize: { readonly new_size: number } };
}

const MAX_INDEX = 255;

export function parseDiskCommand(value: unknown): DiskCommand {
  const { disk_index, command } = fields(value, 'the payload');
  const { new_size } = fields(fields(command, 'command')['Resize'], 'Resize');
  return {
    disk_index: wholeNumber(disk_index, 'disk_index', MAX_INDEX),
    command: { Resize: { new_size: wholeNumber(new_size, 'new_size') } },
  };
}
