import { releasePages } from '../base/mmap.ts';
import { BalloonDevice } from '../virtio/balloon/balloon-device.ts';
import type { BalloonSpec } from './device-spec.ts';
import type { MadeDevice } from './made-device.ts';

export function createBalloon(spec: BalloonSpec): MadeDevice {
  const device = new BalloonDevice((memory, start, length) => releasePages(memory.address + start, length), spec);
  return {
    device,
    orders: {
      inflateBalloon: ({ size }, answer) => {
        device.inflateTo(size);
        answer({ kind: 'done' });
      },
      balloonStats: (_, answer) =>
        device.requestStats((stats) => answer({ kind: 'balloonStats', stats, actual: device.actual })),
    },
  };
}
