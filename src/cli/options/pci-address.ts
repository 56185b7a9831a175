import { CrosvmError } from '../../errors.ts';
import type { ValueSyntax } from './syntax.ts';

/** The devices on bus 0 that a user may choose: 0 is the host bridge, 31 pvpanic. */
const MAX_SLOT = 30;

/** `BUS:DEVICE.FUNCTION` in hexadecimal; the device number, as all of ours are function 0 on bus 0. */
export const pciAddress: ValueSyntax<number> = {
  metavar: 'BUS:DEVICE.FUNCTION',
  parse(value) {
    const match = /^(?:0{1,4}:)?0{1,2}:([0-9a-f]{1,2})\.0$/i.exec(value);
    const slot = Number.parseInt(match?.[1] ?? '0', 16);
    if (slot >= 1 && slot <= MAX_SLOT) return slot;
    throw new CrosvmError('E_OPTION', `"${value}" is not an address from 00:01.0 to 00:1e.0`);
  },
};
