/** All that the future of a deterministic machine depends on: to tell whether two machines are in the same state. */
import { sha256 } from '../base/sha256.ts';
import type { Vcpu } from '../hypervisor/hypervisor.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { deviceStates, type MachineHandle } from './machine.ts';

/** Views of memory that lives on, except for the registers. */
export interface MachineState {
  readonly registers: ReadonlyMap<string, bigint>;
  /** Of the hypervisor and of the machine, by name. */
  readonly devices: ReadonlyMap<string, Uint8Array>;
  readonly memory: GuestMemory;
}

/** The state between two instructions of `vcpu`, on its thread; undefined if it is not deterministic. */
export function machineState({ deterministic, vm }: Vcpu, machine: MachineHandle): MachineState | undefined {
  if (deterministic === undefined) return undefined;
  const machines = [...deviceStates(machine)].map(([name, bytes]) => [`machine.${name}`, bytes] as const);
  return {
    registers: deterministic.registers(),
    devices: new Map([...deterministic.devices(), ...machines]),
    memory: vm.memory,
  };
}

/** SHA-256 of a state, in hexadecimal: the same for the same state of the same configuration. */
export function hashOf(state: MachineState): string {
  return sha256(partsOf(state));
}

function* partsOf({ registers, devices, memory }: MachineState): Iterable<Uint8Array | string> {
  for (const [name, value] of registers) yield `${name}=${value.toString(16)}\n`;
  for (const [name, bytes] of devices) {
    yield `${name}:${bytes.length}\n`;
    yield bytes;
  }
  for (const { gpa, size } of memory.regions) {
    yield `memory ${gpa.toString(16)}:${size}\n`;
    yield memory.slice(gpa, size);
  }
}
