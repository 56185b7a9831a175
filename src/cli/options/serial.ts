import { boolean, choice, defaulted, integer, type KeyValues, keyValues, optional, path, text } from './syntax.ts';

const keys = {
  type: defaulted(
    choice('stdout', 'file', 'sink', 'syslog', 'unix'),
    'sink',
    'Where the output goes: standard output, a file, nowhere, the system log, or a Unix datagram socket.',
  ),
  hardware: defaulted(
    choice('serial', 'virtio-console'),
    'serial',
    'The device that the guest sees: a 16550A on an ISA port, or a virtio console, which is faster and knows its size.',
  ),
  num: defaulted(
    integer({ min: 1, max: 255 }),
    1,
    'Which port: 1 is COM1 (ttyS0), up to 4. Virtio consoles are hvc0, hvc1 and so on in the order of their numbers.',
  ),
  name: optional(text('NAME'), "Of a virtio console: its port's name in /sys/class/virtio-ports of the guest."),
  path: optional(path(), 'The file or socket of type=file and type=unix.'),
  input: optional(path(), 'A file that the guest reads as input.'),
  console: boolean("Make it the guest kernel's console. At most one."),
  earlycon: boolean("Make it the guest kernel's console in early boot. At most one."),
  stdin: boolean('Feed standard input to it. At most one, and not with input=.'),
};

/** One `--serial`. */
export type SerialOption = KeyValues<typeof keys>;

export const serialSyntax = keyValues(keys);
