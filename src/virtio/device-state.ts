/** What a device knows besides its queues and what was negotiated, as bytes that another one can go on from. */
import { CrosvmError } from '../errors.ts';
import { fields } from '../fields.ts';
import type { VirtioDevice } from './device.ts';

/** Of the form below; another one gets another number. */
const VERSION = 1;

/** The most bytes of the state of a device. */
export const MAX_DEVICE_STATE = 65536;

/** JSON: `{"version":1,"type":"net","state":{...}}`. */
export function encodeDeviceState(device: VirtioDevice): Uint8Array {
  const state = device.saveState?.() ?? {};
  return new TextEncoder().encode(JSON.stringify({ version: VERSION, type: device.type, state }));
}

/** Gives a device the state that another one of its type was in. Throws `E_DEVICE_STATE`, with nothing changed. */
export function decodeDeviceState(device: VirtioDevice, bytes: Uint8Array): void {
  const { type } = device;
  try {
    if (bytes.length > MAX_DEVICE_STATE) throw new TypeError(`it has ${bytes.length} bytes`);
    const whole = fields(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)), 'it');
    if (whole['version'] !== VERSION) throw new TypeError(`its version is not ${VERSION}`);
    if (whole['type'] !== type) throw new TypeError(`it is not that of a ${type} device`);
    const state = fields(whole['state'], 'what it says');
    device.loadState?.(state);
  } catch (cause) {
    if (!(cause instanceof TypeError || cause instanceof SyntaxError)) throw cause;
    throw new CrosvmError('E_DEVICE_STATE', `the state for a ${type} device is of no use: ${cause.message}`, { cause });
  }
}
