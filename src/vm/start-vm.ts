/** From a complete configuration to a running VM: the part of create-vm.ts that loads the rest of the program. */
import type { VmRequest, VmResponse } from '../control/messages.ts';
import { ControlServer, controlSocketPath, type RequestHandler } from '../control/server.ts';
import { CrosvmError } from '../errors.ts';
import { buildVm } from './builder.ts';
import type { VmConfig } from './config.ts';
import { connectStdin, type InputFile, openInputFile, readInputFile, readStdin } from './console-input.ts';
import { carryOut } from './control-requests.ts';
import type { VmHost } from './create-vm.ts';
import type { HypervisorChoice } from './hypervisors.ts';
import { RunState } from './run-state.ts';
import { RunningVm } from './running-vm.ts';
import type { PortScript } from './scripted-input.ts';
import { resolveSerialPorts, type SerialPortConfig } from './serial-ports.ts';
import type { VcpuThreads } from './vcpu-threads.ts';

/** `threads` wait for their VM; whoever made them discards them if this throws. */
export async function startVm(
  config: VmConfig,
  choice: HypervisorChoice,
  threads: VcpuThreads,
  { log = () => {}, abort }: VmHost,
): Promise<RunningVm> {
  const ports = resolveSerialPorts(config.serial);
  const { com, consoles } = ports;
  using resources = new DisposableStack();

  const runState = new RunState();
  let vm: RunningVm | undefined;
  const handle = async (request: VmRequest): Promise<VmResponse> => {
    if (vm !== undefined) return await carryOut(vm, request);
    if (request.name !== 'Exit') throw new CrosvmError('E_STARTING', 'the VM is still being put together');
    runState.end('stopped');
    return 'Ok';
  };
  if (config.socket !== undefined) listen(controlSocketPath(config.socket), handle, resources);
  const scripts = config.deterministic === undefined ? [] : await readScripts(com, abort);
  const live = [...com.filter(({ num }) => !scripts.some((script) => script.num === num)), ...consoles];
  const inputs = live.map((port) => openInput(port, resources));
  const built = await buildVm(config, choice, ports, runState, resources, { scripts, log });
  vm = new RunningVm({ ...built, threads, runState, log, resources: resources.move() });
  endWithProcess(vm);
  // Before the guest starts: what it says may be answered at once, on a terminal that is in raw mode by then.
  for (const [i, port] of live.entries()) {
    const connect = port.stdin ? connectStdin : inputs[i]?.connect;
    if (connect !== undefined) vm.connectInput(port, connect);
  }
  await vm.start();
  return vm;
}

/** A process that exits waits for its threads, and one that is halted would wait for ever. */
function endWithProcess(vm: RunningVm): void {
  const stop = () => vm.stop();
  const forget = () => process.off('exit', stop);
  process.once('exit', stop);
  vm.ended.then(forget, forget);
}

/** Listens for requests at `path`; the socket is removed with `resources`, or at the latest when the process exits. */
function listen(path: string, handler: RequestHandler, resources: DisposableStack): void {
  const server = new ControlServer(path, handler);
  const close = () => server.close();
  process.once('exit', close);
  resources.defer(() => {
    process.off('exit', close);
    close();
  });
}

/** The ports whose input is complete before the guest starts, as that of a deterministic guest should be. */
async function readScripts(ports: readonly SerialPortConfig[], abort?: AbortSignal): Promise<PortScript[]> {
  const read = ports.map(async ({ num, stdin, input }) => {
    const bytes = stdin ? await readStdin(abort) : input === undefined ? undefined : readInputFile(input);
    return bytes === undefined ? [] : [{ num, bytes }];
  });
  return (await Promise.all(read)).flat();
}

function openInput(port: SerialPortConfig, resources: DisposableStack): InputFile | undefined {
  if (port.input === undefined) return undefined;
  return resources.adopt(openInputFile(port.input), (file) => file.close());
}
