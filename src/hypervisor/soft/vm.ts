/** A VM on the software CPU, as its maker on the main thread has it. */
import { HostClock } from '../../base/clock.ts';
import { close } from '../../base/fd.ts';
import { CrosvmError } from '../../errors.ts';
import type { Vm, VmOptions } from '../hypervisor.ts';
import { IoEventState } from './io-events.ts';
import { createIrqchipState } from './irqchip-state.ts';
import { createMachineMemory } from './machine-memory.ts';
import { type SoftVcpuHandle, SoftVmAccess } from './vm-access.ts';

export class SoftVm extends SoftVmAccess implements Vm {
  static create(options: VmOptions): SoftVm {
    if (options.cpus !== 1) {
      throw new CrosvmError(
        'E_VCPUS',
        `the software CPU runs one vCPU so far, not ${options.cpus}: use --cpus 1, or KVM where there is hardware virtualization`,
      );
    }
    return new SoftVm({
      machine: createMachineMemory(options.memory, options.cpus),
      irqchip: createIrqchipState(options.cpus),
      ioEvents: new SharedArrayBuffer(IoEventState.byteLength),
      clockOrigin: new HostClock().origin,
    });
  }

  setDirtyLog(): void {
    throw new CrosvmError('E_DIRTY_LOG', 'the software CPU keeps no dirty log so far');
  }

  takeDirtyLog(): Uint8Array {
    throw new CrosvmError('E_DIRTY_LOG', 'the software CPU keeps no dirty log so far');
  }

  handle(id: number): SoftVcpuHandle {
    return { kind: 'soft', id, vm: this.shared };
  }

  close(): void {
    this.stopIrqfds();
    close(this.shared.machine.fd);
  }
}
