/** The process of one device, from its start to its end. Nothing of Node's event loop may be used in it. */
import { O_RDWR, open, write } from '../base/fd.ts';
import { exitNow, keepDescriptors, setThreadName } from '../base/process.ts';
import { StreamConnection } from '../base/unix-stream.ts';
import type { DeviceMaker } from '../device-process/create-device.ts';
import { withInheritedFds } from '../device-process/inherited.ts';
import type { PreparedDevice } from '../device-process/made-device.ts';
import { runDevice } from '../device-process/run-device.ts';
import { CrosvmError } from '../errors.ts';
import type { JailSpec } from './jail-spec.ts';
import type { DeviceDescriptors, StartOrder } from './start-order.ts';

/** How a process gets into its jail. Both throw `E_JAIL`, `SystemError`. */
export interface WayIn {
  /** First of all, before anything is opened. */
  begin(): void;
  /** For good. `supervisor` is a connection with who looks after the process. */
  enter(jail: JailSpec, prepared: PreparedDevice, supervisor: StreamConnection): void;
}

/**
 * Takes what the device needs, enters the jail, makes the device, serves the front end until that goes away, and ends the
 * process. `wakeFds` are those of `wakeDescriptors`.
 */
export function runJailedDevice(
  { name, spec, jail }: StartOrder,
  make: DeviceMaker,
  fds: DeviceDescriptors,
  supervisor: number,
  wakeFds: readonly number[],
  way: WayIn,
): never {
  let [messages] = fds;
  const say = (line: string) => void write(messages, new TextEncoder().encode(`crosvm: ${name}: ${line}\n`));
  try {
    way.begin();
    const nothing = open('/dev/null', O_RDWR);
    const kept = keepDescriptors([nothing, nothing, supervisor, ...fds], wakeFds) as number[];
    const [, , itsSupervisor, itsMessages, frontEnd, orders, ...inherited] = kept as [
      ...[number, number, number, number, number, number],
      ...number[],
    ];
    messages = itsMessages;
    setThreadName(`${spec.type} device`);
    const prepared = make(withInheritedFds(spec, inherited));
    way.enter(jail, prepared, new StreamConnection(itsSupervisor));
    const connection = new StreamConnection(frontEnd);
    const isWell = runDevice(prepared.finish(), connection, (level, line) => say(`${level}: ${line}`), orders);
    exitNow(isWell ? 0 : 1);
  } catch (error) {
    say(error instanceof CrosvmError ? error.message : `internal error: ${(error as Error).stack}`);
    exitNow(1);
  }
}
