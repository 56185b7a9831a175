import type { ExitReason } from '../../devices/device.ts';
import { CrosvmError } from '../../errors.ts';
import { filteredLog } from '../../log.ts';
import type { RunningVm } from '../../vm/running-vm.ts';
import { command, type GlobalOptions, type Output } from '../command.ts';
import { type RunOptions, runOptions } from '../options/run.ts';

/** Exit statuses with --extended-status; without it all of them are 0. */
const STATUS: Readonly<Record<ExitReason, number>> = {
  'powered off': 0,
  stopped: 0,
  reset: 32,
  crash: 33,
  panic: 34,
};

/** Signals that stop the VM, and the numbers that shells add to 128 for the exit status. */
const STOP_SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

export const run = command({
  name: 'run',
  summary: 'Start a VM and wait until it ends.',
  description:
    'Boots a kernel (or, with --bios, firmware) in a new virtual machine and waits until it ends. On a terminal, ' +
    'Ctrl-A x ends the machine and Ctrl-A Ctrl-A sends one Ctrl-A. Other input is fed to the console once the guest ' +
    'reads from it, and Ctrl-D after its end.',
  options: runOptions,
  positionals: [
    {
      name: 'KERNEL',
      help: 'A Linux kernel: bzImage, vmlinux (ELF) or arch/x86/boot/compressed/vmlinux. Not with --bios.',
      required: false,
    },
  ],
  examples: [
    'crosvm run --initrd initrd.img vmlinuz',
    'crosvm run -m 1024 -c 2 -p "root=/dev/ram0 quiet" -i initrd.img vmlinuz',
    'crosvm run --serial type=file,path=boot.log,console -s /run/vm.sock vmlinuz',
  ],
  run: runVm,
});

async function runVm(
  options: RunOptions,
  [kernel]: readonly string[],
  output: Output,
  globals: GlobalOptions,
): Promise<number> {
  if (kernel === undefined && options.bios === undefined) usage('KERNEL is missing');
  if (kernel !== undefined && options.bios !== undefined) usage('a KERNEL and --bios exclude each other');
  const level = options.logLevel === runOptions.logLevel.fallback ? globals.logLevel : options.logLevel;
  const log = filteredLog(level, (severity, message) => output.error(`crosvm: ${severity}: ${message}`));

  const { createVm } = await import('../../vm/create-vm.ts');
  let vm: RunningVm | undefined;
  const abort = new AbortController();
  const signal = stopOnSignal(() => {
    abort.abort();
    vm?.stop();
  });
  try {
    vm = await createVm({ ...options, kernel }, { log, abort: abort.signal });
    if (signal.received !== undefined) vm.stop();
    const reason = await vm.ended;
    if (signal.received !== undefined) return 128 + STOP_SIGNALS[signal.received];
    return options.extendedStatus || globals.extendedStatus ? STATUS[reason] : 0;
  } finally {
    signal.forget();
  }
}

interface SignalWatch {
  readonly received: keyof typeof STOP_SIGNALS | undefined;
  forget(): void;
}

/** Signals stop the VM in good order instead of ending the process. */
function stopOnSignal(stop: () => void): SignalWatch {
  let received: keyof typeof STOP_SIGNALS | undefined;
  const names = Object.keys(STOP_SIGNALS) as (keyof typeof STOP_SIGNALS)[];
  const listener = (name: NodeJS.Signals) => {
    received ??= name as keyof typeof STOP_SIGNALS;
    stop();
  };
  for (const name of names) process.on(name, listener);
  return {
    get received() {
      return received;
    },
    forget() {
      for (const name of names) process.off(name, listener);
    },
  };
}

function usage(message: string): never {
  throw new CrosvmError('E_USAGE', message);
}
