/** The VMM's side of a virtio console: what its output goes to, its input, and the size of its terminal. */
import { close, setNonBlocking, write } from '../../base/fd.ts';
import { connectSyslog } from '../../base/syslog.ts';
import { SystemError } from '../../base/system-error.ts';
import { followTerminalSize, isTerminal, type TerminalSize } from '../../base/terminal.ts';
import { connectDatagrams } from '../../base/unix-datagram.ts';
import { SOCK_STREAM, unixPair } from '../../base/unix-listener.ts';
import type { DeviceOrder } from '../../device-process/device-orders.ts';
import type { ConsoleOutputSpec } from '../../device-process/device-spec.ts';
import type { InputPort } from '../input-pump.ts';
import { closeSerialTarget, openSerialTarget, type SerialTarget } from '../serial-backends.ts';
import type { SerialPortConfig } from '../serial-ports.ts';
import { type GivenSpec, keeping, type OwnDevice } from './own-device.ts';

const [STDIN, STDOUT] = [0, 1];

export class ConsoleHost implements OwnDevice {
  readonly #port: SerialPortConfig;
  readonly #resources = new DisposableStack();
  readonly #output: ConsoleOutputSpec | undefined;
  /** Ends of the way that input takes: where it is put in, and the device's. */
  readonly #inputFds: readonly [number, number] | undefined;
  readonly input: InputPort | undefined;
  #size: TerminalSize | undefined;
  #order: (order: DeviceOrder) => void = () => {};

  /** Throws `E_SERIAL` if what it writes to cannot be opened. */
  constructor(port: SerialPortConfig) {
    this.#port = port;
    using opening = new DisposableStack();
    const target = opening.adopt(openSerialTarget(port), closeSerialTarget);
    this.#output = consoleOutput(target, opening);
    if (port.stdin || port.input !== undefined) {
      this.#inputFds = unixPair(SOCK_STREAM);
      for (const fd of this.#inputFds) opening.adopt(fd, close);
      this.input = inputOf(this.#inputFds[0]);
    }
    const terminal = terminalOf(port);
    if (terminal !== undefined) {
      const following = followTerminalSize(terminal, (size) => {
        this.#size = size;
        this.#tellSize();
      });
      opening.defer(() => following.close());
    }
    this.#resources = opening.move();
  }

  async give(): Promise<GivenSpec> {
    const input = this.#inputFds && { fd: this.#inputFds[1] };
    const port = { name: this.#port.name ?? '', isConsole: true, input, output: this.#output };
    return keeping({ type: 'console', ports: [port] });
  }

  attend(order: (order: DeviceOrder) => void): void {
    this.#order = order;
    this.#tellSize();
  }

  close(): void {
    this.#resources.dispose();
  }

  #tellSize(): void {
    if (this.#size !== undefined) this.#order({ kind: 'resizeConsole', ...this.#size });
  }
}

/** Sockets that the target needs are opened here: in its jail the device could not. */
function consoleOutput(target: SerialTarget, resources: DisposableStack): ConsoleOutputSpec | undefined {
  switch (target.kind) {
    case 'nothing':
      return undefined;
    case 'descriptor':
      return { kind: 'stream', fd: target.fd };
    case 'datagrams':
      return { kind: 'datagrams', fd: resources.adopt(connectDatagrams(target.path), close) };
    case 'syslog': {
      const fd = connectSyslog();
      return fd === undefined ? undefined : { kind: 'syslog', fd: resources.adopt(fd, close), tag: target.tag };
    }
  }
}

/** Bytes wait in a socket until the guest's driver has room for them, so none is lost whenever they come. */
function inputOf(fd: number): InputPort {
  setNonBlocking(fd, true);
  return {
    pushInput: (bytes) => {
      try {
        return Math.max(0, write(fd, bytes));
      } catch (error) {
        if (error instanceof SystemError) return 0;
        throw error;
      }
    },
    isListening: () => true,
  };
}

/** The terminal of the host that the console is on, if it is on one. */
function terminalOf({ type, stdin }: SerialPortConfig): number | undefined {
  if (type === 'stdout' && isTerminal(STDOUT)) return STDOUT;
  return stdin && isTerminal(STDIN) ? STDIN : undefined;
}
