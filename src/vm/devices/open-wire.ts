import { closeAll } from '../../base/fd.ts';
import { configureInterface, openTap, prepareTap } from '../../base/tap.ts';
import type { TapSource } from './own-source.ts';

/** The TAP device of a card, ready for use: a descriptor for each pair of queues. Throws `E_TAP`. */
export function openWire({ tap, address }: Pick<TapSource, 'tap' | 'address'>): readonly number[] {
  if ('fd' in tap) {
    prepareTap(tap.fd);
    return [tap.fd];
  }
  const { fds, name } = openTap(tap.name, tap.pairs);
  try {
    if (address !== undefined) configureInterface(name, address);
    return fds;
  } catch (error) {
    closeAll(fds);
    throw error;
  }
}
