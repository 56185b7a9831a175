import { command } from '../../command.ts';
import { flag, valueOr } from '../../options/option.ts';
import { integer } from '../../options/syntax.ts';
import { deviceOptions, serveDevice } from './serve.ts';

export const deviceBalloon = command({
  name: 'device balloon',
  summary: 'A memory balloon.',
  description:
    'Runs a memory balloon, which takes memory from a guest and gives it back to the host, until its front end goes away.',
  options: {
    size: valueOr({
      section: 'Device',
      syntax: integer({ min: 0, max: 2 ** 44, metavar: 'BYTES' }),
      fallback: 0,
      help: 'What the balloon takes.',
    }),
    strict: flag({ section: 'Device', help: 'The guest may not take memory back when it has no other.' }),
    pageReporting: flag({ section: 'Device', help: 'The guest also gives back what it does not use.' }),
    ...deviceOptions,
  },
  positionals: [],
  examples: ['crosvm device balloon --socket-path /run/balloon.sock --page-reporting'],
  run({ size, strict, pageReporting, ...frontEnd }, _positionals, output) {
    const spec = { type: 'balloon', size, deflateOnOom: !strict, pageReporting } as const;
    return serveDevice({ kind: 'balloon', spec }, frontEnd, output);
  },
});
