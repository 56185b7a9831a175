/**
 * The program of a device process that a VMM starts. Its only argument is a `DeviceJob` as JSON; the connection to the
 * VMM is an open descriptor. Ends when the VMM goes away, with 0 if all went by the rules.
 */
import { StreamConnection } from '../base/unix-stream.ts';
import { CrosvmError } from '../errors.ts';
import { loadDeviceMaker } from './create-device.ts';
import type { DeviceSpec } from './device-spec.ts';
import { runDevice } from './run-device.ts';

export interface DeviceJob {
  /** What messages call the device. */
  readonly name: string;
  readonly spec: DeviceSpec;
  /** The descriptor of a stream socket whose other end is the front end. */
  readonly socket: number;
  /** The descriptor of a SOCK_SEQPACKET socket at which it takes orders of the VMM (device-orders.ts). */
  readonly orders?: number | undefined;
}

const { name, spec, socket, orders } = JSON.parse(process.argv[2]!) as DeviceJob;
const say = (line: string) => process.stderr.write(`crosvm: ${name}: ${line}\n`);
const connection = new StreamConnection(socket);
try {
  const made = (await loadDeviceMaker(spec.type))(spec).finish();
  const isWell = runDevice(made, connection, (level, line) => say(`${level}: ${line}`), orders);
  process.exitCode = isWell ? 0 : 1;
} catch (error) {
  say(error instanceof CrosvmError ? error.message : `internal error: ${(error as Error).stack}`);
  process.exitCode = 1;
} finally {
  connection.close(); // the end of a thread would not
}
