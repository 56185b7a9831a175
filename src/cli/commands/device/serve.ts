/** Runs a device for one front end: what all `crosvm device` commands do. */
import type { PacketConnection } from '../../../base/unix-socket.ts';
import type { StreamConnection } from '../../../base/unix-stream.ts';
import type { DeviceSpec } from '../../../device-process/device-spec.ts';
import type { OwnSource } from '../../../vm/devices/own-source.ts';
import type { Output } from '../../command.ts';
import { frontEndOptions, frontEndPlace } from '../../options/front-end.ts';
import type { Parsed } from '../../options/option.ts';
import { jailOptions, sandboxOptions } from '../../options/sandbox.ts';

/** The options that all of them have. */
export const deviceOptions = { ...frontEndOptions, ...sandboxOptions };

type Options = Parsed<typeof deviceOptions>;

/** Runs the device that `source` describes until its front end goes away; the exit status. */
export async function serveDevice(source: OwnSource, options: Options, output: Output): Promise<number> {
  const { createOwnDevice } = await import('../../../vm/devices/create-own-device.ts');
  using resources = new DisposableStack();
  const own = resources.adopt(createOwnDevice(source), (device) => device.close());
  const given = resources.use(await own.give(!options.disableSandbox));
  if (options.disableSandbox) return await runHere(given.spec, options, output);
  return await runInJail(given.spec, options, output, () => own.isUp?.());
}

async function runHere(spec: DeviceSpec, options: Options, output: Output): Promise<number> {
  const { loadDeviceMaker } = await import('../../../device-process/create-device.ts');
  const { runDevice } = await import('../../../device-process/run-device.ts');
  const { dup } = await import('../../../base/fd.ts');
  const { inheritedFds, withInheritedFds } = await import('../../../device-process/inherited.ts');
  const log = (level: string, line: string) => output.error(`crosvm: device ${spec.type}: ${level}: ${line}`);
  const itsSpec = withInheritedFds(spec, inheritedFds(spec).map(dup)); // the device closes what it is given
  const made = (await loadDeviceMaker(spec.type))(itsSpec).finish();
  let connection: StreamConnection;
  try {
    connection = await frontEndOf(options);
  } catch (error) {
    made.device.close();
    throw error;
  }
  return runDevice(made, connection, log) ? 0 : 1;
}

/** `isUp` is called when the device has what it needs. */
async function runInJail(spec: DeviceSpec, options: Options, output: Output, isUp: () => void): Promise<number> {
  const { JailLauncher } = await import('../../../vm/devices/jail-launcher.ts');
  const connection = await frontEndOf(options);
  const launcher = new JailLauncher(jailOptions(options));
  const name = `device ${spec.type}`;
  try {
    const { gone, kill, orders } = launcher.launch(name, spec, connection.fd, (line) => output.error(line));
    connection.close();
    await whenThere(orders, isUp);
    const signals = endBySignal(kill);
    const how = await gone;
    signals.close();
    if (!how.startsWith('exit status')) output.error(`crosvm: ${name}: it has ended (${how})`);
    return how === 'exit status 0' ? 0 : 1;
  } finally {
    await launcher.close();
  }
}

/** Calls back when the device at the other end of `orders` has what it needs, or has ended. `orders` is closed then. */
async function whenThere(orders: PacketConnection, callback: () => void): Promise<void> {
  const { encodeOrder } = await import('../../../device-process/device-orders.ts');
  orders.onMessage(() => {
    orders.close();
    callback();
  });
  try {
    orders.send(encodeOrder({ kind: 'beThere' }));
  } catch {
    // It has ended already.
  }
}

/** A signal that asks this process to end ends the device first. */
function endBySignal(kill: () => void): { close(): void } {
  process.once('SIGTERM', kill).once('SIGINT', kill);
  return { close: () => void process.off('SIGTERM', kill).off('SIGINT', kill) };
}

async function frontEndOf(options: Options): Promise<StreamConnection> {
  const place = frontEndPlace(options);
  const { StreamConnection } = await import('../../../base/unix-stream.ts');
  const { awaitFrontEnd } = await import('../../../device-process/await-front-end.ts');
  return 'fd' in place ? new StreamConnection(place.fd) : await awaitFrontEnd(place.socketPath);
}
