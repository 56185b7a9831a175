import { CrosvmError } from '../../../errors.ts';
import { command } from '../../command.ts';
import { value, valueOr } from '../../options/option.ts';
import { integer, path } from '../../options/syntax.ts';
import { deviceOptions, serveDevice } from './serve.ts';

export const deviceVsock = command({
  name: 'device vsock',
  summary: 'Sockets between a guest and the host.',
  description:
    "Runs a socket device until its front end goes away. The host's ends of its connections are unix sockets: a program " +
    'of the guest that connects to port N of the host (CID 2) reaches what listens at PATH_N; a program of the host ' +
    'connects to PATH, sends the line "CONNECT N", reads the line "OK ..." and is connected to port N of the guest.',
  options: {
    cid: valueOr({
      section: 'Device',
      syntax: integer({ min: 3, max: 2 ** 32 - 2, metavar: 'CID' }),
      fallback: 3,
      help: "The guest's address.",
    }),
    hostPath: value({ section: 'Device', syntax: path(), help: 'PATH of the unix sockets.' }),
    ...deviceOptions,
  },
  positionals: [],
  examples: ['crosvm device vsock --socket-path /run/vsock.sock --cid 5 --host-path /run/guest'],
  run({ cid, hostPath, ...frontEnd }, _positionals, output) {
    if (hostPath === undefined) throw new CrosvmError('E_USAGE', '--host-path is missing');
    return serveDevice({ kind: 'vsock', cid, path: hostPath }, frontEnd, output);
  },
});
