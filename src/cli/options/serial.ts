import { boolean, choice, defaulted, integer, type KeyValues, keyValues, optional, path } from './syntax.ts';

const keys = {
  type: defaulted(
    choice('stdout', 'file', 'sink', 'syslog', 'unix'),
    'sink',
    'Where the output goes: standard output, a file, nowhere, the system log, or a Unix datagram socket.',
  ),
  hardware: defaulted(choice('serial'), 'serial', 'The device that the guest sees: a 16550A on an ISA port.'),
  num: defaulted(integer({ min: 1, max: 4 }), 1, 'Which port: 1 is COM1 (ttyS0), up to 4.'),
  path: optional(path(), 'The file or socket of type=file and type=unix.'),
  input: optional(path(), 'A file that the guest reads as input.'),
  console: boolean("Make it the guest kernel's console. At most one."),
  earlycon: boolean("Make it the guest kernel's console in early boot. At most one."),
  stdin: boolean('Feed standard input to it. At most one, and not with input=.'),
};

/** One `--serial`. */
export type SerialOption = KeyValues<typeof keys>;

export const serialSyntax = keyValues(keys);
