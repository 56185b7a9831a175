import type { Clock } from '../devices/device.ts';
import type { InterruptController } from '../hypervisor/hypervisor.ts';
import { IsaIrqchip, type IsaIrqchipStates } from './isa-irqchip.ts';
import { type ApicFabric, Lapic } from './lapic.ts';
import type { LapicShared } from './lapic-state.ts';
import {
  DELIVERY_FIXED,
  DELIVERY_LOWEST_PRIORITY,
  isMsiAddress,
  msiDeliveryMode,
  msiDestination,
  msiIsLevel,
  msiIsLogical,
  msiVector,
} from './msi.ts';

/** How the interrupt controllers wake a vCPU. */
export interface VcpuNotifier {
  /** vCPU `vcpu` must look at its LAPIC's attention word. Callable on every thread; must not block. */
  notify(vcpu: number): void;
}

export interface SoftIrqchipStates extends IsaIrqchipStates {
  /** One for each vCPU. */
  readonly lapics: readonly LapicShared[];
}

export interface SoftIrqchipDeps {
  readonly clock: Clock;
  readonly notifier: VcpuNotifier;
  /** Called when the PIT's deadline may have come nearer. */
  readonly rearm?: () => void;
  /** The guest ends the level-triggered interrupt of IOAPIC pin `pin`. Called without locks. */
  readonly onEndOfInterrupt?: (pin: number) => void;
}

const BROADCAST = 0xff;
const SHORTHAND_NONE = 0;
const SHORTHAND_SELF = 1;
const SHORTHAND_OTHERS = 3;

/**
 * All interrupt controllers of the machine, for a CPU that brings none: PIC pair, IOAPIC, PIT and a LAPIC for each vCPU.
 * Each thread builds one over the same states. The PIC's INT wire goes to LINT0 of vCPU 0 (virtual wire mode).
 */
export class SoftIrqchip implements InterruptController, ApicFabric {
  readonly isa: IsaIrqchip;
  readonly lapics: readonly Lapic[];
  readonly #notifier: VcpuNotifier;

  constructor(states: SoftIrqchipStates, deps: SoftIrqchipDeps) {
    this.#notifier = deps.notifier;
    this.lapics = states.lapics.map((state, id) => new Lapic(state, id, deps.clock, this));
    this.isa = new IsaIrqchip(states, {
      ...deps,
      signalMsi: (address, data) => this.signalMsi(address, data),
      onExtInt: (level) => this.lapics[0]?.setLint(0, level),
    });
  }

  setLine(gsi: number, level: boolean): void {
    this.isa.setLine(gsi, level);
  }

  /** Messages to other addresses than 0xfeexxxxx are memory writes of a confused guest: dropped. */
  signalMsi(address: number, data: number): void {
    if (!isMsiAddress(address)) return;
    const logical = msiIsLogical(address);
    const level = msiIsLevel(data);
    this.#deliver(-1, msiDestination(address), BROADCAST, logical, msiDeliveryMode(data), msiVector(data), level);
  }

  /** The first vCPU that takes messages to `address` as things are; 0 if none does. */
  recipientOf(address: number): number {
    const [destination, logical] = [msiDestination(address), msiIsLogical(address)];
    const lapic = this.lapics.find((each) => each.isAddressed(destination, BROADCAST, logical));
    return lapic?.id ?? 0;
  }

  sendIpi(
    source: number,
    shorthand: number,
    destination: number,
    broadcast: number,
    logical: boolean,
    mode: number,
    vector: number,
  ): void {
    if (shorthand === SHORTHAND_SELF) this.lapics[source]?.accept(mode, vector, false);
    else if (shorthand === SHORTHAND_NONE) {
      this.#deliver(-1, destination, broadcast, logical, mode, vector, false);
    } else {
      const except = shorthand === SHORTHAND_OTHERS ? source : -1;
      this.#deliver(except, BROADCAST, BROADCAST, false, mode, vector, false);
    }
  }

  endOfInterrupt(vector: number): void {
    this.isa.ioapic.endOfInterrupt(vector);
  }

  picAcknowledge(): number {
    return this.isa.pic.picAcknowledge();
  }

  notify(vcpu: number): void {
    this.#notifier.notify(vcpu);
  }

  #deliver(
    except: number,
    destination: number,
    broadcast: number,
    logical: boolean,
    mode: number,
    vector: number,
    level: boolean,
  ): void {
    if (mode === DELIVERY_LOWEST_PRIORITY) {
      this.#arbitrate(except, destination, broadcast, logical)?.accept(DELIVERY_FIXED, vector, level);
      return;
    }
    for (const lapic of this.lapics) {
      if (lapic.id !== except && lapic.isAddressed(destination, broadcast, logical)) lapic.accept(mode, vector, level);
    }
  }

  /** The addressed LAPIC that works on the least important thing. */
  #arbitrate(except: number, destination: number, broadcast: number, logical: boolean): Lapic | undefined {
    let best: Lapic | undefined;
    for (const lapic of this.lapics) {
      if (lapic.id === except || !lapic.isSoftwareEnabled) continue;
      if (!lapic.isAddressed(destination, broadcast, logical)) continue;
      if (best === undefined || lapic.arbitrationPriority() < best.arbitrationPriority()) best = lapic;
    }
    return best;
  }
}
