import type { DescriptorChain } from './queue/descriptor-chain.ts';
import type { Virtqueue } from './queue/virtqueue.ts';

/** Of a request that the device holds: it pushes it itself, later. */
export const LATER = -1;

/**
 * Serves a queue whose requests are answered in turn, up to `most` of them. `answer` returns how many bytes it has
 * written, or `LATER`. True when there are more. The driver's interrupt is the caller's to give.
 */
export function serveRequests(
  queue: Virtqueue,
  chain: DescriptorChain,
  most: number,
  answer: (chain: DescriptorChain) => number,
): boolean {
  queue.disableNotification();
  for (let left = most; ; ) {
    while (queue.pop(chain)) {
      const written = answer(chain);
      if (written !== LATER) queue.push(chain, written);
      if (--left === 0) return true;
    }
    if (!queue.enableNotification()) return false;
    queue.disableNotification();
  }
}
