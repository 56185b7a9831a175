import { consoleInput, consoleOutput } from '../base/console-files.ts';
import { ConsoleDevice } from '../virtio/console/console-device.ts';
import type { PortOptions } from '../virtio/console/console-port.ts';
import type { ConsoleSpec } from './device-spec.ts';
import type { MadeDevice } from './made-device.ts';

export function createConsole({ ports }: ConsoleSpec): MadeDevice {
  const opened: PortOptions[] = [];
  try {
    for (const { name, isConsole, input, output } of ports) {
      opened.push({
        name,
        isConsole,
        input: input && consoleInput(input),
        output: output && consoleOutput(output),
      });
    }
  } catch (error) {
    for (const { input, output } of opened) {
      input?.close();
      output?.close();
    }
    throw error;
  }
  return { device: new ConsoleDevice(opened as [PortOptions, ...PortOptions[]]) };
}
