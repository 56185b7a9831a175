/**
 * What a jailed device process costs: the time from the order to its first answer, and the memory that only it has while it
 * waits.
 *
 *     node bench/jail.ts [--devices N]
 */
import { readdirSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { greetBackEnd } from '../src/vm/devices/connect-device.ts';
import { JailLauncher } from '../src/vm/devices/jail-launcher.ts';
import type { LaunchedDevice } from '../src/vm/devices/launcher.ts';
import { median, table } from './report.ts';

const { values } = parseArgs({ options: { devices: { type: 'string', default: '20' } } });
const launcher = new JailLauncher({});

async function launch(): Promise<{ device: LaunchedDevice; ms: number }> {
  const start = performance.now();
  const device = launcher.launch('bench', { type: 'rng' }, console.error);
  const { requests } = await greetBackEnd(device.connection);
  const ms = performance.now() - start;
  requests.close();
  return { device, ms };
}

/** Memory of a process in kB, by the lines of /proc/PID/smaps_rollup. */
function memory(pid: string): { private: number; proportional: number } {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const kb = (name: string) => Number(new RegExp(`^${name}: +(\\d+)`, 'm').exec(text)![1]);
  return { private: kb('Private_Dirty') + kb('Private_Clean'), proportional: kb('Pss') };
}

function jailedProcesses(): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      return status.startsWith('Name:\trng device\n') && new RegExp(`^PPid:\\t${zygote()}$`, 'm').test(status);
    } catch {
      return false;
    }
  });
}

function zygote(): string {
  return readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8').trim();
}

const first = await launch();
const others: LaunchedDevice[] = [];
const times: number[] = [];
for (let i = 0; i < Number(values.devices); i++) {
  const { device, ms } = await launch();
  others.push(device);
  times.push(ms);
}
const memories = jailedProcesses().map(memory);
const sorted = times.toSorted((a, b) => a - b);
console.log(
  table(
    ['what', 'value'],
    [
      ['first device, with the start of the zygote (ms)', first.ms.toFixed(0)],
      ['fork, jail and first answer (ms): median', median(times).toFixed(1)],
      ['fork, jail and first answer (ms): best', sorted[0]!.toFixed(1)],
      ['fork, jail and first answer (ms): worst', sorted.at(-1)!.toFixed(1)],
      ['processes', String(memories.length)],
      ['memory that only it has, idle (MB): median', (median(memories.map((m) => m.private)) / 1024).toFixed(2)],
      ['its share of all memory, idle (MB): median', (median(memories.map((m) => m.proportional)) / 1024).toFixed(2)],
    ],
  ),
);
for (const { connection, orders } of [first.device, ...others]) {
  connection.close();
  orders.close();
}
launcher.close();
