/** The four COM ports and the virtio consoles that a machine gets out of the `--serial` options it was given. */
import { SERIAL_PORTS } from '../arch/x86_64/platform.ts';
import type { SerialOption } from '../cli/options/serial.ts';
import { CrosvmError } from '../errors.ts';

export type SerialPortConfig = SerialOption;

const COM_PORTS = [1, 2, 3, 4] as const;
const NOTHING = {
  hardware: 'serial',
  name: undefined,
  path: undefined,
  input: undefined,
  console: false,
  earlycon: false,
} as const;

export interface SerialPorts {
  /** COM1 to COM4. */
  readonly com: readonly SerialPortConfig[];
  /** In the order in which the guest finds them. */
  readonly consoles: readonly SerialPortConfig[];
}

/** What messages call a port. */
export function portName({ hardware, num }: SerialPortConfig): string {
  return `${hardware === 'serial' ? 'serial port' : 'virtio console'} ${num}`;
}

/**
 * Where no port is the console and COM1 was not set up, COM1 becomes the console on standard output and
 * (if no other port has it) standard input; what is left goes nowhere. Throws `E_OPTION` for a combination that
 * cannot be.
 */
export function resolveSerialPorts(given: readonly SerialOption[]): SerialPorts {
  for (const port of given) checkPort(port);
  for (const role of ['console', 'earlycon', 'stdin'] as const) {
    if (given.filter((port) => port[role]).length > 1) fail(`more than one serial port is given ${role}`);
  }
  const twice = given.find((port, i) => given.findIndex((other) => isSamePort(port, other)) < i);
  if (twice !== undefined) fail(`${portName(twice)} is given twice`);
  const ofKind = (hardware: SerialOption['hardware']) => given.filter((port) => port.hardware === hardware);
  const own = ofKind('serial');
  return {
    com: COM_PORTS.map((num) => own.find((port) => port.num === num) ?? defaultPort(num, given)),
    consoles: ofKind('virtio-console').sort((a, b) => a.num - b.num),
  };
}

function isSamePort(a: SerialOption, b: SerialOption): boolean {
  return a.hardware === b.hardware && a.num === b.num;
}

function defaultPort(num: number, given: readonly SerialOption[]): SerialPortConfig {
  if (num !== 1 || given.some((port) => port.console)) return { ...NOTHING, num, type: 'sink', stdin: false };
  return { ...NOTHING, num, type: 'stdout', console: true, stdin: !given.some((port) => port.stdin) };
}

function checkPort(port: SerialOption): void {
  const { hardware, num, type, path, input, stdin, name, earlycon } = port;
  const needsPath = type === 'file' || type === 'unix';
  if (needsPath && path === undefined) fail(`${portName(port)} of type=${type} needs path=`);
  if (!needsPath && path !== undefined) fail(`${portName(port)} of type=${type} takes no path=`);
  if (stdin && input !== undefined) fail(`${portName(port)} is given both stdin and input=`);
  if (hardware === 'serial' && num > COM_PORTS.length) fail(`there is no serial port ${num}, they are 1 to 4`);
  if (hardware === 'serial' && name !== undefined)
    fail(`${portName(port)} takes no name=, which is for virtio consoles`);
  if (hardware === 'virtio-console' && earlycon) fail(`${portName(port)} cannot be an early console`);
}

function fail(message: string): never {
  throw new CrosvmError('E_OPTION', message);
}

/** What the guest kernel is told of its consoles: the values of `console=` and `earlycon=` (Linux, kernel-parameters). */
export function guestConsoles({ com, consoles }: SerialPorts): { console?: string; earlycon?: string } {
  const console = com.find((port) => port.console);
  const virtio = consoles.findIndex((port) => port.console);
  const early = com.find((port) => port.earlycon);
  return {
    ...(console && { console: `ttyS${console.num - 1}` }),
    ...(virtio >= 0 && { console: `hvc${virtio}` }),
    ...(early && { earlycon: `uart8250,io,0x${SERIAL_PORTS[early.num - 1]!.port.toString(16)}` }),
  };
}
