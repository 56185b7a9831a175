/** Writes docs/command-line.md from the table of options: `node tools/command-line-doc.ts`. */
import { realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { main } from '../src/cli/main.ts';
import { projectFolder } from './setup.js';

export const COMMAND_LINE_DOC = join(projectFolder, 'docs', 'command-line.md');

const WIDTH = 100;
const DEVICES = ['balloon', 'block', 'console', 'net', 'rng', 'vsock'].map((type) => `device ${type}`);
const IMAGE = ['info', 'check', 'convert', 'compare', 'map', 'snapshot', 'create', 'resize'];
const COMMANDS = [
  'run',
  'stop',
  'suspend',
  'resume',
  'powerbtn',
  'balloon',
  'balloon_stats',
  'disk resize',
  'stats',
  'device',
  ...DEVICES,
  'image',
  ...IMAGE.map((name) => `image ${name}`),
  'create_qcow2',
  'create_composite',
  'version',
];

/** The text of the file: what `--help` says, of the program and of each command. */
export async function commandLineDoc(): Promise<string> {
  const sections = [`# The command line\n\n${await block(['--help'])}`];
  for (const name of COMMANDS) sections.push(`## crosvm ${name}\n\n${await block([...name.split(' '), '--help'])}`);
  return sections.join('\n');
}

async function block(words: readonly string[]): Promise<string> {
  let text = '';
  const out = (more: string) => {
    text += more;
  };
  await main(words, { width: WIDTH, out, error: out });
  return `\`\`\`text\n${text}\`\`\`\n`;
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  writeFileSync(COMMAND_LINE_DOC, await commandLineDoc());
}
