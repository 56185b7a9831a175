/** INTERIM: the devices of a machine, as each thread sees them. */
import { I8042_COMMAND_PORT, SERIAL_LENGTH, SERIAL_PORTS } from '../arch/x86_64/platform.ts';
import { HostClock } from '../base/clock.ts';
import { Bus } from '../devices/bus.ts';
import type { ExitReason, TimedDevice } from '../devices/device.ts';
import { Serial, SerialState } from '../devices/serial.ts';
import type { VcpuBuses, VmAccess } from '../hypervisor/hypervisor.ts';
import { attachSerialTarget, type SerialTarget } from './serial-backends.ts';

export interface MachineHandle {
  readonly cpus: number;
  readonly clockOrigin: number;
  readonly state: SharedArrayBuffer;
  readonly serial: readonly SerialTarget[];
}

export interface MachineLink {
  end(reason: ExitReason): void;
  isEnding(): boolean;
  inputRoom(port: number): void;
  rearm(): void;
}

export interface Machine extends TimedDevice {
  readonly clock: HostClock;
  readonly serial: readonly Serial[];
  busesFor(id: number): VcpuBuses;
}

export function allocateMachine(cpus: number, serial: readonly SerialTarget[]): MachineHandle {
  return {
    cpus,
    clockOrigin: new HostClock().origin,
    state: new SharedArrayBuffer(4 * SerialState.byteLength),
    serial,
  };
}

export function attachMachine(handle: MachineHandle, vm: VmAccess, link: MachineLink): Machine {
  const clock = new HostClock(handle.clockOrigin);
  const ports = new Bus();
  const mmio = new Bus();
  const serial = handle.serial.map((target, i) => {
    const { port, irq } = SERIAL_PORTS[i]!;
    const s = new Serial(new SerialState(handle.state, i * SerialState.byteLength), {
      interrupt: { set: (level) => vm.interrupts.setLine(irq, level) },
      output: attachSerialTarget(target, link.isEnding),
      inputRoom: () => link.inputRoom(i + 1),
    });
    ports.insert(s, port, SERIAL_LENGTH);
    return s;
  });
  ports.insert(
    { read: (_, data) => void data.fill(0), write: (_, data) => void (data[0] === 0xfe && link.end('reset')) },
    I8042_COMMAND_PORT,
    1,
  );
  return {
    clock,
    serial,
    busesFor: () => ({ ports, mmio }),
    deadline: () => Number.POSITIVE_INFINITY,
    tick: () => {},
  };
}
