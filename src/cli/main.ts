/** The command line: words in, exit status out. */
import { CrosvmError } from '../errors.ts';
import type { Output } from './command.ts';
import { balloon } from './commands/balloon.ts';
import { balloonStats } from './commands/balloon-stats.ts';
import { createComposite } from './commands/create-composite.ts';
import { createQcow2 } from './commands/create-qcow2.ts';
import { device } from './commands/device.ts';
import { disk } from './commands/disk.ts';
import { findCommand, help } from './commands/help.ts';
import { image } from './commands/image/index.ts';
import { powerbtn } from './commands/powerbtn.ts';
import { resume } from './commands/resume.ts';
import { run } from './commands/run.ts';
import { stats } from './commands/stats.ts';
import { stop } from './commands/stop.ts';
import { suspend } from './commands/suspend.ts';
import { version } from './commands/version.ts';
import { programHelp } from './help.ts';
import { globalOptions } from './options/global.ts';
import { parseCommandLine } from './parser.ts';

const others = [
  run,
  stop,
  suspend,
  resume,
  powerbtn,
  balloon,
  balloonStats,
  disk,
  stats,
  device,
  image,
  createQcow2,
  createComposite,
  version,
];
const commands = [...others, help(others)];

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;

/** Carries out the command line `words` (without the program's name); the exit status: 2 for a wrong command line. */
export async function main(words: readonly string[], output: Output = terminalOutput()): Promise<number> {
  let prefix = 'crosvm';
  try {
    const line = parseCommandLine(globalOptions, [], words, true);
    if (line.help) {
      output.out(programHelp(commands, globalOptions, output.width));
      return 0;
    }
    const [name, ...rest] = line.positionals;
    if (name === undefined) throw new CrosvmError('E_USAGE', 'no command given; crosvm --help lists them');
    const found = findCommand(commands, name);
    prefix = `crosvm: ${name}`;
    return await found.execute(rest, line.options, output);
  } catch (error) {
    if (!(error instanceof CrosvmError)) {
      output.error(`${prefix}: internal error: ${error instanceof Error ? error.stack : String(error)}`);
      return EXIT_FAILURE;
    }
    output.error(`${prefix}: ${error.message}`);
    return error.code === 'E_USAGE' || error.code === 'E_OPTION' ? EXIT_USAGE : EXIT_FAILURE;
  }
}

function terminalOutput(): Output {
  // A reader who has seen enough is no error.
  process.stdout.on('error', () => {});
  process.stderr.on('error', () => {});
  return {
    width: Math.min(Math.max(process.stdout.columns ?? 80, 60), 100),
    out: (text) => process.stdout.write(text),
    error: (line) => process.stderr.write(`${line}\n`),
  };
}
