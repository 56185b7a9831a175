import { consoleInput, consoleOutput, sinkOutput } from '../base/console-files.ts';
import { SyslogSink, socketLog } from '../base/syslog.ts';
import { UnixDatagramSink } from '../base/unix-datagram.ts';
import { ConsoleDevice } from '../virtio/console/console-device.ts';
import type { ConsoleOutput, PortOptions } from '../virtio/console/console-port.ts';
import type { ConsoleOutputSpec, ConsoleSpec } from './device-spec.ts';
import type { MadeDevice } from './made-device.ts';

export function createConsole({ ports }: ConsoleSpec): MadeDevice {
  const opened: PortOptions[] = ports.map(({ name, isConsole, input, output }) => ({
    name,
    isConsole,
    input: input && consoleInput(input.fd),
    output: output && openOutput(output),
  }));
  const device = new ConsoleDevice(opened as [PortOptions, ...PortOptions[]]);
  return {
    device,
    orders: {
      resizeConsole: ({ columns, rows }, answer) => {
        device.resize(0, columns, rows);
        answer({ kind: 'done' });
      },
    },
  };
}

function openOutput(output: ConsoleOutputSpec): ConsoleOutput {
  switch (output.kind) {
    case 'stream':
      return consoleOutput(output.fd);
    case 'datagrams':
      return sinkOutput(new UnixDatagramSink(output.fd));
    case 'syslog': {
      const socket = new UnixDatagramSink(output.fd);
      const lines = new SyslogSink(output.tag, socketLog(socket));
      const close = () => {
        lines.flush();
        socket.close();
      };
      return sinkOutput({ write: (bytes) => lines.write(bytes), close });
    }
  }
}
