import { pciAddress } from './pci-address.ts';
import { boolean, type KeyValues, keyValues, mapped, optional, path, required, type ValueSyntax } from './syntax.ts';

const keys = {
  path: required(path(), 'The file.'),
  ro: boolean('The guest may only read: what it stores is lost.'),
  root: boolean("The guest's root file system is on it."),
  'pci-address': optional(pciAddress, 'Where it is on the PCI bus [default: the first free place].'),
};

/** A file that is memory of a guest. */
export interface PmemOption extends KeyValues<typeof keys> {}

/** `--pmem`. */
export const pmemSyntax: ValueSyntax<PmemOption> = keyValues(keys, { first: 'path' });

/** The path alone, for an option that says the rest. */
export function pmemSyntaxAs({ ro }: { readonly ro: boolean }): ValueSyntax<PmemOption> {
  return mapped(path(), (given) => ({ path: given, ro, root: false, 'pci-address': undefined }));
}
