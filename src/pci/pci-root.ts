import { ECAM_BUSES, PCI_CONFIG_PORT, PCI_RESET_PORT } from '../arch/x86_64/platform.ts';
import type { BusDevice } from '../devices/bus.ts';
import { sharedStruct } from '../memory/shared-struct.ts';
import type { BarSpec } from './config-space.ts';
import type { PciDevice } from './pci-device.ts';

const ADDRESS_ENABLE = 0x8000_0000;
const DATA_OFFSET = 4;
const RESET_OFFSET = PCI_RESET_PORT - PCI_CONFIG_PORT;
const RESET_CPU = 1 << 2;
const RESET_KEPT = 1 << 1;

export const PciRootState = sharedStruct({
  /** CONFIG_ADDRESS of mechanism 1. */
  address: 'u32',
  resetControl: 'u8',
  /** Counts changes of the BARs; threads rebuild their routing tables when it moved. */
  generation: ['u32', 1],
});

interface Route {
  readonly start: number;
  readonly end: number;
  readonly device: PciDevice;
  readonly bar: number;
}

/**
 * The PCI bus 0 and its devices. The guest can move BARs at any time on any vCPU, so the ranges are not on the machine's
 * buses: `memoryWindow` and `portWindow` are, and look the BARs up in tables that each thread derives from the shared
 * configuration spaces.
 */
export class PciRoot {
  readonly #state: InstanceType<typeof PciRootState>;
  readonly #devices = new Map<number, PciDevice>();
  #memoryRoutes: Route[] = [];
  #portRoutes: Route[] = [];
  #routedGeneration = -1;
  /** Ports 0xcf8-0xcff: configuration mechanism 1 and the reset control register. */
  readonly configPorts: BusDevice;
  /** The ECAM window. */
  readonly ecam: BusDevice;

  /** `onReset` is called without locks. */
  constructor(state: InstanceType<typeof PciRootState>, onReset: () => void) {
    this.#state = state;
    this.configPorts = new ConfigPorts(state, this, onReset);
    this.ecam = new Ecam(this);
  }

  /** Puts a function on bus 0. */
  add(device: number, fn: number, pciDevice: PciDevice): void {
    const key = (device << 3) | fn;
    if (!(device >= 0 && device < 32 && fn >= 0 && fn < 8)) throw new RangeError(`no PCI address ${device}.${fn}`);
    if (this.#devices.has(key)) throw new RangeError(`PCI address ${device}.${fn} is taken`);
    this.#devices.set(key, pciDevice);
    this.#routedGeneration = -1;
  }

  /** The claim of a memory window that starts at `base` for the BARs in it. */
  memoryWindow(base: number): BusDevice {
    return new BarWindow((address) => this.#find('memory', address), base);
  }

  /** The same for I/O ports. */
  portWindow(base: number): BusDevice {
    return new BarWindow((address) => this.#find('port', address), base);
  }

  /** A missing function reads as all ones. `key` is bus, device and function in 8, 5 and 3 bits. */
  readConfig(key: number, register: number, data: Uint8Array): void {
    const device = this.#devices.get(key);
    if (device === undefined) data.fill(0xff);
    else if (device.readConfig?.(register, data) !== true) device.config.read(register, data);
  }

  writeConfig(key: number, register: number, data: Uint8Array): void {
    const device = this.#devices.get(key);
    if (device === undefined || device.writeConfig?.(register, data) === true) return;
    const moved = device.config.write(register, data);
    device.configWritten?.(register, data.length);
    if (!moved) return;
    Atomics.add(this.#state.generation, 0, 1);
    device.barsMoved?.();
  }

  #rebuild(): void {
    this.#memoryRoutes = [];
    this.#portRoutes = [];
    for (const device of this.#devices.values()) {
      for (const bar of device.config.bars) this.#addRoute(device, bar);
    }
  }

  #addRoute(device: PciDevice, bar: BarSpec): void {
    const start = device.config.barAddress(bar);
    if (start < 0) return;
    const routes = bar.kind === 'io' ? this.#portRoutes : this.#memoryRoutes;
    routes.push({ start, end: start + bar.size, device, bar: bar.index });
  }

  /** Where a guest lays BARs over each other, the device with the lower number answers. */
  #find(space: 'memory' | 'port', address: number): Route | undefined {
    const generation = Atomics.load(this.#state.generation, 0);
    if (generation !== this.#routedGeneration) {
      this.#rebuild();
      this.#routedGeneration = generation;
    }
    const routes = space === 'memory' ? this.#memoryRoutes : this.#portRoutes;
    for (const route of routes) if (address >= route.start && address < route.end) return route;
    return undefined;
  }
}

class BarWindow implements BusDevice {
  readonly #find: (address: number) => Route | undefined;
  readonly #base: number;

  constructor(find: (address: number) => Route | undefined, base: number) {
    this.#find = find;
    this.#base = base;
  }

  read(offset: number, data: Uint8Array): void {
    const address = this.#base + offset;
    const route = this.#find(address);
    if (route === undefined || address + data.length > route.end) data.fill(0xff);
    else route.device.readBar(route.bar, address - route.start, data);
  }

  write(offset: number, data: Uint8Array): void {
    const address = this.#base + offset;
    const route = this.#find(address);
    if (route === undefined || address + data.length > route.end) return;
    route.device.writeBar(route.bar, address - route.start, data);
  }
}

/** Configuration mechanism 1 (PCI 3.0, 3.2.2.3.2), and the reset control register among its bytes. */
class ConfigPorts implements BusDevice {
  readonly #state: InstanceType<typeof PciRootState>;
  readonly #root: PciRoot;
  readonly #onReset: () => void;

  constructor(state: InstanceType<typeof PciRootState>, root: PciRoot, onReset: () => void) {
    this.#state = state;
    this.#root = root;
    this.#onReset = onReset;
  }

  read(offset: number, data: Uint8Array): void {
    const { address, resetControl } = this.#state;
    if (offset === RESET_OFFSET && data.length === 1) data[0] = resetControl;
    else if (offset < DATA_OFFSET) {
      for (let i = 0; i < data.length; i++) data[i] = offset + i < DATA_OFFSET ? address >>> (8 * (offset + i)) : 0xff;
    } else if (!this.#isValid(offset, data.length)) data.fill(0xff);
    else this.#root.readConfig((address >> 8) & 0xffff, (address & 0xfc) + offset - DATA_OFFSET, data);
  }

  write(offset: number, data: Uint8Array): void {
    const s = this.#state;
    if (offset === RESET_OFFSET && data.length === 1) {
      s.resetControl = data[0]! & RESET_KEPT;
      if (data[0]! & RESET_CPU) this.#onReset();
    } else if (offset === 0 && data.length === 4) {
      // Only a whole dword is for the address register; everything narrower passes by.
      s.address = data[0]! | (data[1]! << 8) | (data[2]! << 16) | (data[3]! << 24);
    } else if (offset >= DATA_OFFSET && this.#isValid(offset, data.length)) {
      const { address } = s;
      this.#root.writeConfig((address >> 8) & 0xffff, (address & 0xfc) + offset - DATA_OFFSET, data);
    }
  }

  #isValid(offset: number, length: number): boolean {
    return (this.#state.address & ADDRESS_ENABLE) !== 0 && offset - DATA_OFFSET + length <= 4;
  }
}

/** The memory-mapped configuration space of PCI Express: 4 KiB for each function. */
class Ecam implements BusDevice {
  readonly #root: PciRoot;

  constructor(root: PciRoot) {
    this.#root = root;
  }

  read(offset: number, data: Uint8Array): void {
    if (!isEcamAccess(offset, data.length)) data.fill(0xff);
    else this.#root.readConfig(offset >>> 12, offset & 0xfff, data);
  }

  write(offset: number, data: Uint8Array): void {
    if (isEcamAccess(offset, data.length)) this.#root.writeConfig(offset >>> 12, offset & 0xfff, data);
  }
}

function isEcamAccess(offset: number, length: number): boolean {
  return (offset & 0xfff) + length <= 0x1000 && offset >>> 20 < ECAM_BUSES;
}
