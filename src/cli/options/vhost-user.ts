import { CrosvmError } from '../../errors.ts';
import { type VirtioDeviceName, virtioDeviceTypes } from '../../virtio/device-types.ts';
import { pciAddress } from './pci-address.ts';
import { choice, integer, keyValues, mapped, optional, path, required, text, type ValueSyntax } from './syntax.ts';

const MAX_QUEUE_SIZE = 32768;

/** The name of a virtio device type, as the command line has it. A back end cannot say which file persistent memory is. */
const types = (Object.keys(virtioDeviceTypes) as VirtioDeviceName[]).filter((name) => name !== 'pmem');

const queueSize: ValueSyntax<number> = mapped(integer({ min: 2, max: MAX_QUEUE_SIZE }), (size): number => {
  if ((size & (size - 1)) === 0) return size;
  throw new CrosvmError('E_OPTION', `${size} is not a power of two`);
});

/** The name of a file system, which has a place of so many bytes in its configuration (VIRTIO 1.3, 5.11.4). */
const MAX_TAG = 36;

const fsTag: ValueSyntax<string> = mapped(text('TAG'), (tag): string => {
  const bytes = new TextEncoder().encode(tag).length;
  if (bytes > 0 && bytes <= MAX_TAG) return tag;
  throw new CrosvmError('E_OPTION', `a tag has 1 to ${MAX_TAG} bytes, "${tag}" has ${bytes}`);
});

export const vhostUserSyntax = keyValues(
  {
    type: required({ ...choice(...types), metavar: 'TYPE' }, `What the device is: ${types.join(', ')}.`),
    socket: required(path(), 'Where its back end listens.'),
    tag: optional(
      fsTag,
      'Of a file system: by what name the guest mounts it [default: the one that the back end has].',
    ),
    'max-queue-size': optional(queueSize, 'The most entries of a queue, a power of two.'),
    'pci-address': optional(pciAddress, 'Where it is on the PCI bus [default: the first free place].'),
  },
  { first: 'type' },
);

/** `SOCKET:TAG` or `SOCKET,tag=TAG`; without a tag the back end has one. */
export const vhostUserFsSyntax: ValueSyntax<{ readonly socket: string; readonly tag: string | undefined }> = {
  metavar: 'SOCKET[:TAG]',
  keys: [{ usage: ':TAG', help: 'By what name the guest mounts it [default: the one that the back end has].' }],
  parse(value) {
    const [, socket = '', tag] =
      /^(.*?)(?::([^:]*)|,tag=(.*))?$/s.exec(value)?.filter((part) => part !== undefined) ?? [];
    return { socket: path().parse(socket), tag: tag === undefined ? undefined : fsTag.parse(tag) };
  },
};
