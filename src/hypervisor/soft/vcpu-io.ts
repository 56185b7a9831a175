/** Where the accesses of a vCPU outside of RAM go: the interrupt controllers, I/O events, the machine's buses. */
import { Bus } from '../../devices/bus.ts';
import type { Lapic } from '../../irqchip/lapic.ts';
import type { Gpa } from '../../memory/guest-memory.ts';
import type { VcpuBuses } from '../hypervisor.ts';
import { CPU } from './state.ts';
import type { CpuState } from './system/cpu-state.ts';
import type { SoftVmAccess } from './vm-access.ts';

const LAPIC_SIZE = 4096;

export interface IoListener {
  /** The guest changed its LAPIC, which may have changed what interrupts it. */
  onApicWrite(): void;
  /** The guest told a device of another thread to do something. */
  onDoorbell(): void;
}

export class VcpuIo {
  /** The machine's, set at each run(). */
  buses!: VcpuBuses;
  readonly #vm: SoftVmAccess;
  readonly #apic: Lapic;
  /** Views of CPU.io by width: what devices read and write. */
  readonly #data: readonly Uint8Array[];
  /** The interrupt controllers belong to the CPU: what they claim never reaches the machine's buses. */
  readonly #chipPorts = new Bus();
  readonly #chipMmio = new Bus();
  readonly #state: CpuState;
  readonly #listener: IoListener;

  constructor(vm: SoftVmAccess, apic: Lapic, state: CpuState, listener: IoListener) {
    this.#vm = vm;
    this.#apic = apic;
    this.#state = state;
    this.#listener = listener;
    this.#data = [1, 2, 4, 8].map((size) => new Uint8Array(state.view.buffer, state.block + CPU.io, size));
    vm.irqchip.isa.insertInto(this.#chipPorts, this.#chipMmio);
  }

  mmioRead(gpa: Gpa, size: number): void {
    this.#state.count(CPU.mmioReads);
    const data = this.#bytes(size);
    const offset = this.#lapicOffset(gpa);
    if (offset >= 0) this.#apic.read(offset, data);
    else (this.#chipMmio.claims(gpa) ? this.#chipMmio : this.buses.mmio).read(gpa, data);
  }

  mmioWrite(gpa: Gpa, size: number): void {
    this.#state.count(CPU.mmioWrites);
    const data = this.#bytes(size);
    const offset = this.#lapicOffset(gpa);
    if (offset >= 0) {
      this.#apic.write(offset, data);
      this.#listener.onApicWrite();
    } else if (this.#chipMmio.claims(gpa)) {
      this.#chipMmio.write(gpa, data);
    } else if (this.#vm.ioEvents.signal(false, gpa, data)) {
      this.#listener.onDoorbell();
    } else {
      this.buses.mmio.write(gpa, data);
    }
  }

  portRead(port: number, size: number): void {
    this.#state.count(CPU.portReads);
    (this.#chipPorts.claims(port) ? this.#chipPorts : this.buses.ports).read(port, this.#bytes(size));
  }

  portWrite(port: number, size: number): void {
    this.#state.count(CPU.portWrites);
    const data = this.#bytes(size);
    if (this.#chipPorts.claims(port)) this.#chipPorts.write(port, data);
    else if (this.#vm.ioEvents.signal(true, port, data)) this.#listener.onDoorbell();
    else this.buses.ports.write(port, data);
  }

  #bytes(size: number): Uint8Array {
    return this.#data[size === 8 ? 3 : size >> 1]!;
  }

  #lapicOffset(gpa: Gpa): number {
    const { mmioBase } = this.#apic;
    const offset = gpa - mmioBase;
    return mmioBase >= 0 && offset >= 0 && offset < LAPIC_SIZE ? offset : -1;
  }
}
