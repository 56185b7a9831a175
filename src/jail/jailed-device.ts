/** The process of one device, from its fork to its end. Nothing of Node's event loop may be used in it. */
import { O_RDWR, open, write } from '../base/fd.ts';
import { exitNow, keepDescriptors, setThreadName } from '../base/process.ts';
import { StreamConnection } from '../base/unix-stream.ts';
import type { DeviceMaker } from '../device-process/create-device.ts';
import type { DeviceSpec } from '../device-process/device-spec.ts';
import { withInheritedFds } from '../device-process/inherited.ts';
import { serveDevice } from '../device-process/run-device.ts';
import { CrosvmError } from '../errors.ts';
import { enterJail, type Owner, settle } from './enter-jail.ts';
import type { StartOrder } from './zygote-messages.ts';

/** The descriptors of a device process: nothing, nothing, its messages, and these. Those that the device opens follow. */
const MESSAGES = 2;
const FRONT_END = 3;
const ORDERS = 4;
const SUPERVISOR = 5;
const FIRST_INHERITED = 6;

export interface DeviceDescriptors {
  readonly messages: number;
  readonly frontEnd: number;
  readonly orders: number;
  /** Those that its specification names. */
  readonly inherited: readonly number[];
  /** Where the listener of its filter goes. */
  readonly supervisor: number;
}

/** Opens what the device needs, enters the jail, makes the device, serves the front end until that goes away, and ends the process. */
export function runJailedDevice(
  { name, spec, jail }: StartOrder,
  make: DeviceMaker,
  { messages, frontEnd, orders, supervisor, inherited }: DeviceDescriptors,
  newcomer: Owner | undefined,
): never {
  const say = (line: string) => void write(MESSAGES, new TextEncoder().encode(`crosvm: ${name}: ${line}\n`));
  try {
    if (newcomer !== undefined) settle(newcomer, sharesFolder(spec) ? 0 : undefined);
    const nothing = open('/dev/null', O_RDWR);
    keepDescriptors([nothing, nothing, messages, frontEnd, orders, supervisor, ...inherited]);
    setThreadName(`${spec.type} device`);
    const its = inherited.map((_, i) => FIRST_INHERITED + i);
    const prepared = make(withInheritedFds(spec, its));
    enterJail(jail, prepared, newcomer !== undefined, new StreamConnection(SUPERVISOR));
    const isWell = serveDevice(
      prepared.finish(),
      new StreamConnection(FRONT_END),
      (level, line) => say(`${level}: ${line}`),
      ORDERS,
    );
    exitNow(isWell ? 0 : 1);
  } catch (error) {
    say(error instanceof CrosvmError ? error.message : `internal error: ${(error as Error).stack}`);
    exitNow(1);
  }
}

function sharesFolder({ type }: DeviceSpec): boolean {
  return type === 'fs' || type === '9p';
}
