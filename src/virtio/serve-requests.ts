import type { DeviceHost } from './device.ts';
import type { DescriptorChain } from './queue/descriptor-chain.ts';
import type { Virtqueue } from './queue/virtqueue.ts';

/** Of a request that the device holds: it pushes it itself, later. */
export const LATER = -1;

/**
 * Bytes of requests that are answered together. The driver hears of more before the next one is begun, so that it works on
 * what it has got while the device works on; of small requests one interrupt for many is cheaper.
 */
const TOGETHER = 0x1_0000;

/**
 * Serves a queue whose requests are answered in turn, up to `most` of them, and interrupts the driver. `answer` returns how
 * many bytes it has written, or `LATER`. True when there are more.
 */
export function serveRequests(
  host: DeviceHost,
  index: number,
  queue: Virtqueue,
  chain: DescriptorChain,
  most: number,
  answer: (chain: DescriptorChain) => number,
): boolean {
  queue.disableNotification();
  let bytes = 0;
  for (let left = most; left > 0; left--) {
    while (!queue.pop(chain)) {
      if (!queue.enableNotification()) {
        host.interrupt(index);
        return false;
      }
      queue.disableNotification();
    }
    if (bytes >= TOGETHER) {
      bytes = 0;
      host.interrupt(index);
    }
    const written = answer(chain);
    if (written === LATER) continue;
    queue.push(chain, written);
    bytes += chain.readable.length + written;
  }
  host.interrupt(index);
  return true;
}
