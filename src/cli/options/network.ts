import { CrosvmError } from '../../errors.ts';
import type { ValueSyntax } from './syntax.ts';

/** Four numbers of a byte each: an address or a netmask of IPv4. */
export const ipv4: ValueSyntax<readonly number[]> = {
  metavar: 'A.B.C.D',
  parse(value) {
    const parts = /^\d{1,3}(\.\d{1,3}){3}$/.test(value) ? value.split('.').map(Number) : [];
    if (parts.length === 4 && parts.every((part) => part <= 255)) return parts;
    throw new CrosvmError('E_OPTION', `"${value}" is not an IPv4 address`);
  },
};

/** Six bytes: the address of one network card. */
export const macAddress: ValueSyntax<readonly number[]> = {
  metavar: 'XX:XX:XX:XX:XX:XX',
  parse(value) {
    const parts = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(value)
      ? value.split(':').map((part) => Number.parseInt(part, 16))
      : [];
    if (parts.length === 0) throw new CrosvmError('E_OPTION', `"${value}" is not a hardware address`);
    if ((parts[0]! & 1) !== 0) throw new CrosvmError('E_OPTION', `${value} is the address of a group, not of one card`);
    return parts;
  },
};

/** A TCP port of the host and the port of the guest to which it leads. */
export const forwardedPort: ValueSyntax<{ readonly host: number; readonly guest: number }> = {
  metavar: 'HOST:GUEST',
  parse(value) {
    const [host, guest] = (/^(\d{1,5}):(\d{1,5})$/.exec(value) ?? []).slice(1).map(Number);
    const isPort = (port: number | undefined) => port !== undefined && port >= 1 && port <= 65535;
    if (isPort(host) && isPort(guest)) return { host: host!, guest: guest! };
    throw new CrosvmError('E_OPTION', `"${value}" is not HOST:GUEST, two ports from 1 to 65535`);
  },
};
