import { command } from '../../command.ts';
import { list, value } from '../../options/option.ts';
import { boolean, keyValues, optional, path, required, text } from '../../options/syntax.ts';
import { deviceOptions, serveDevice } from './serve.ts';

const portSyntax = keyValues(
  {
    name: required(text('NAME'), 'By what the guest finds it, in /sys/class/virtio-ports.'),
    input: optional(path(), 'Where its input comes from: a file, a pipe or a terminal.'),
    output: optional(path(), 'Where its output goes.'),
    console: boolean('A terminal of the guest, such as /dev/hvc1.'),
  },
  { first: 'name' },
);

export const deviceConsole = command({
  name: 'device console',
  summary: 'A console.',
  description:
    'Runs a virtio console until its front end goes away. Its first port is /dev/hvc0 of the guest; more ports are ' +
    'channels, such as /dev/vport0p1, or further terminals.',
  options: {
    outputFile: value({ section: 'Device', syntax: path(), help: 'Where the output of the first port goes.' }),
    inputFile: value({ section: 'Device', syntax: path(), help: 'Where the input of the first port comes from.' }),
    port: list({ section: 'Device', syntax: portSyntax, help: 'One more port.' }),
    ...deviceOptions,
  },
  positionals: [],
  examples: [
    'crosvm device console --socket-path /run/console.sock --output-file console.log',
    'crosvm device console --socket-path /run/console.sock --port agent,input=in.pipe,output=out.pipe',
  ],
  run({ inputFile, outputFile, port, ...frontEnd }, _positionals, output) {
    const first = { name: '', isConsole: true, input: inputFile, output: outputFile };
    const others = port.map(({ name, console: isConsole, input, output }) => ({ name, isConsole, input, output }));
    return serveDevice({ kind: 'console-files', ports: [first, ...others] }, frontEnd, output);
  },
});
