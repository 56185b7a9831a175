import { pciAddress } from './pci-address.ts';
import { integer, keyValues, optional, path, required } from './syntax.ts';

const cid = integer({ min: 3, max: 2 ** 32 - 2, metavar: 'CID' });

const keys = {
  cid: required(cid, "The guest's address, 3 or more."),
  path: optional(
    path(),
    'Where programs of the host connect to the guest, and with _PORT behind it, where their services listen for the ' +
      "guest [default: crosvm-vsock-CID in the folder of the user's runtime files].",
  ),
  device: optional(path(), "The host kernel's vhost device [default: /dev/vhost-vsock where it opens, without path]."),
  'pci-address': optional(pciAddress, 'Where it is on the PCI bus [default: the first free place].'),
};

export const vsockSyntax = keyValues(keys, { first: 'cid' });
