import type { BalloonCommand } from '../control/balloon.ts';
import type { VmRequest, VmResponse } from '../control/messages.ts';
import { STATISTICS_VERSION, VCPUS_PER_ANSWER } from '../control/statistics.ts';
import type { RunningVm } from './running-vm.ts';

/** Carries out what came over the control socket. Throws or rejects with the `CrosvmError` to answer with. */
export async function carryOut(vm: RunningVm, request: VmRequest): Promise<VmResponse> {
  switch (request.name) {
    case 'Exit':
      vm.stop();
      return 'Ok';
    case 'Suspend':
      await vm.suspend();
      return 'Ok';
    case 'Resume':
      vm.resume();
      return 'Ok';
    case 'Powerbtn':
      vm.pressPowerButton();
      return 'Ok';
    case 'BalloonCommand':
      return await commandBalloon(vm, request.payload);
    case 'DiskCommand':
      await vm.resizeDisk(request.payload.disk_index, request.payload.command.Resize.new_size);
      return 'Ok';
    case 'Stats': {
      const { first } = request.payload;
      return { Stats: { version: STATISTICS_VERSION, ...vm.statistics(first, VCPUS_PER_ANSWER) } };
    }
  }
}

async function commandBalloon(vm: RunningVm, command: BalloonCommand): Promise<VmResponse> {
  if (command !== 'Stats') {
    await vm.inflateBalloon(command.Adjust.num_bytes);
    return 'Ok';
  }
  const { stats, actual } = await vm.balloonStats();
  const named = Object.entries(stats).map(([name, count]) => [snakeCase(name), count] as const);
  return { BalloonStats: { stats: Object.fromEntries(named), balloon_actual: actual } };
}

/** `freeMemory` -> `free_memory`. */
function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
