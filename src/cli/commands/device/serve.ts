import type { DeviceSpec } from '../../../device-process/device-spec.ts';
import type { Output } from '../../command.ts';
import { type frontEndOptions, frontEndPlace } from '../../options/front-end.ts';
import type { Parsed } from '../../options/option.ts';

/** Runs a device in this process for the front end that the options name; the exit status. */
export async function serveDevice(
  spec: DeviceSpec,
  options: Parsed<typeof frontEndOptions>,
  output: Output,
): Promise<number> {
  const place = frontEndPlace(options);
  const { runDevice } = await import('../../../device-process/run-device.ts');
  const { StreamConnection } = await import('../../../base/unix-stream.ts');
  const log = (level: string, line: string) => output.error(`crosvm: device ${spec.type}: ${level}: ${line}`);
  const isWell = await runDevice(spec, 'fd' in place ? new StreamConnection(place.fd) : place, log);
  return isWell ? 0 : 1;
}
