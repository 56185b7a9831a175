/** A Linux guest under QEMU's emulation, whose devices are back ends of ours. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { CLOUD_KERNEL, fetchKernel } from '../tools/guest-packages.ts';
import { BOOT_TIMEOUT_MS, type CommandOutput, CROSVM, commandOutputs, finishProgram } from './linux-guest.ts';
import { type GuestExtras, virtioInitramfs } from './virtio-guest.ts';

/** Boots Debian's kernel in QEMU with `words` more of its options, loads the drivers and runs the commands. */
export async function runQemuGuest(
  words: readonly string[],
  commands: readonly string[],
  extras?: GuestExtras,
): Promise<CommandOutput[]> {
  const initrd = await virtioInitramfs(commands, extras);
  const finished = await finishProgram('qemu-system-x86_64', [
    ...['-accel', 'tcg', '-m', '256', '-display', 'none', '-no-reboot', '-nodefaults', '-serial', 'stdio'],
    ...['-object', 'memory-backend-memfd,id=ram,size=256M,share=on', '-machine', 'pc,memory-backend=ram'],
    ...['-kernel', await fetchKernel(CLOUD_KERNEL), '-initrd', initrd],
    // A host that is busy emulates a timer that the kernel finds too late, and panics for.
    ...['-append', 'console=ttyS0 quiet panic=-1 cryptomgr.notests no_timer_check'],
    ...words,
  ]);
  return commandOutputs(finished).slice(1);
}

/** A back end of ours, listening at a socket. */
export class DeviceProcess {
  readonly socket: string;
  readonly #child: ChildProcess;
  #stderr = '';

  private constructor(socket: string, words: readonly string[]) {
    this.socket = socket;
    this.#child = spawn(process.execPath, [CROSVM, 'device', ...words, '--socket-path', socket], {
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: BOOT_TIMEOUT_MS,
    });
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text));
  }

  /** `words` follow `crosvm device`. Comes back when the back end listens. */
  static async start(socket: string, words: readonly string[]): Promise<DeviceProcess> {
    const device = new DeviceProcess(socket, words);
    while (!existsSync(socket)) {
      if (device.#child.exitCode !== null) throw new Error(`the back end has ended: ${device.#stderr}`);
      await sleep(10);
    }
    return device;
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** Waits for its end, which comes with that of its front end; its exit status and what it said. */
  async end(): Promise<{ status: number | null; stderr: string }> {
    const { exitCode, signalCode } = this.#child;
    if (exitCode === null && signalCode === null) await new Promise((resolve) => this.#child.once('close', resolve));
    return { status: this.#child.exitCode, stderr: this.#stderr };
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    this.#child.kill(signal);
  }
}

/** QEMU's options for a device whose back end listens at a socket. */
export function vhostUserDevice(device: string, socket: string): string[] {
  return ['-chardev', `socket,id=${device},path=${socket}`, '-device', `${device},chardev=${device}`];
}
