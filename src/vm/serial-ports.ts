/** The four COM ports that a machine gets out of the `--serial` options it was given. */
import { SERIAL_PORTS } from '../arch/x86_64/platform.ts';
import type { SerialOption } from '../cli/options/serial.ts';
import { CrosvmError } from '../errors.ts';

export type SerialPortConfig = SerialOption;

const COM_PORTS = [1, 2, 3, 4] as const;
const NOTHING = { hardware: 'serial', path: undefined, input: undefined, console: false, earlycon: false } as const;

/**
 * COM1 to COM4. Where no port is the console and COM1 was not set up, COM1 becomes the console on standard output and
 * (if no other port has it) standard input; what is left goes nowhere. Throws `E_OPTION` for a combination that
 * cannot be.
 */
export function resolveSerialPorts(given: readonly SerialOption[]): SerialPortConfig[] {
  for (const port of given) checkPort(port);
  for (const role of ['console', 'earlycon', 'stdin'] as const) {
    if (given.filter((port) => port[role]).length > 1) fail(`more than one serial port is given ${role}`);
  }
  return COM_PORTS.map((num) => {
    const own = given.filter((port) => port.num === num);
    if (own.length > 1) fail(`serial port ${num} is given twice`);
    return own[0] ?? defaultPort(num, given);
  });
}

function defaultPort(num: number, given: readonly SerialOption[]): SerialPortConfig {
  if (num !== 1 || given.some((port) => port.console)) return { ...NOTHING, num, type: 'sink', stdin: false };
  return { ...NOTHING, num, type: 'stdout', console: true, stdin: !given.some((port) => port.stdin) };
}

function checkPort({ num, type, path, input, stdin }: SerialOption): void {
  const needsPath = type === 'file' || type === 'unix';
  if (needsPath && path === undefined) fail(`serial port ${num} of type=${type} needs path=`);
  if (!needsPath && path !== undefined) fail(`serial port ${num} of type=${type} takes no path=`);
  if (stdin && input !== undefined) fail(`serial port ${num} is given both stdin and input=`);
}

function fail(message: string): never {
  throw new CrosvmError('E_OPTION', message);
}

/** What the guest kernel is told of its consoles: the values of `console=` and `earlycon=` (Linux, kernel-parameters). */
export function guestConsoles(ports: readonly SerialPortConfig[]): { console?: string; earlycon?: string } {
  const console = ports.find((port) => port.console);
  const early = ports.find((port) => port.earlycon);
  return {
    ...(console && { console: `ttyS${console.num - 1}` }),
    ...(early && { earlycon: `uart8250,io,0x${SERIAL_PORTS[early.num - 1]!.port.toString(16)}` }),
  };
}
