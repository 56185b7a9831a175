import type { DescriptorChain } from './queue/descriptor-chain.ts';
import type { Virtqueue } from './queue/virtqueue.ts';

/**
 * Serves a queue whose requests are answered at once, up to `most` of them. `answer` returns how many bytes it has
 * written. True when there are more. The driver's interrupt is the caller's to give.
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
      queue.push(chain, answer(chain));
      if (--left === 0) return true;
    }
    if (!queue.enableNotification()) return false;
    queue.disableNotification();
  }
}
