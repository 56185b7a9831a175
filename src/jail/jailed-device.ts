/** The process of one device, from its start to its end. Nothing of Node's event loop may be used in it. */
import { O_RDWR, open, write } from '../base/fd.ts';
import { exitNow, keepDescriptors, setThreadName } from '../base/process.ts';
import { StreamConnection } from '../base/unix-stream.ts';
import type { DeviceMaker } from '../device-process/create-device.ts';
import { withInheritedFds } from '../device-process/inherited.ts';
import { runDevice } from '../device-process/run-device.ts';
import { CrosvmError } from '../errors.ts';
import type { JailSpec } from './jail-spec.ts';
import type { DeviceDescriptors, StartOrder } from './start-order.ts';

/** How a process gets into its jail, for good. In it, `folders` of the host remain. Throws `E_JAIL`, `SystemError`. */
export type WayIn = (jail: JailSpec, folders: readonly string[], supervisor: StreamConnection) => void;

/**
 * Takes what the device needs, enters the jail, makes the device, serves the front end until that goes away, and ends the
 * process. `supervisor` is a connection with who looks after the process. `wakeFds` are those of `wakeDescriptors`.
 */
export function runJailedDevice(
  { name, spec, jail }: StartOrder,
  make: DeviceMaker,
  fds: DeviceDescriptors,
  supervisor: number,
  wakeFds: readonly number[],
  enter: WayIn,
): never {
  let [messages] = fds;
  const say = (line: string) => void write(messages, new TextEncoder().encode(`crosvm: ${name}: ${line}\n`));
  try {
    const nothing = open('/dev/null', O_RDWR);
    const kept = keepDescriptors([nothing, nothing, ...fds, supervisor], wakeFds).slice(2);
    messages = kept[0]!;
    const [, frontEnd, orders, ...inherited] = kept as number[] as [number, number, number, ...number[]];
    const itsSupervisor = inherited.pop()!;
    setThreadName(`${spec.type} device`);
    const prepared = make(withInheritedFds(spec, inherited));
    enter(jail, prepared.folders ?? [], new StreamConnection(itsSupervisor));
    const connection = new StreamConnection(frontEnd);
    const isWell = runDevice(prepared.finish(), connection, (level, line) => say(`${level}: ${line}`), orders);
    exitNow(isWell ? 0 : 1);
  } catch (error) {
    say(error instanceof CrosvmError ? error.message : `internal error: ${(error as Error).stack}`);
    exitNow(1);
  }
}
