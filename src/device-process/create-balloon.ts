import { releasePages } from '../base/mmap.ts';
import { BalloonDevice, type MemoryReleaser } from '../virtio/balloon/balloon-device.ts';
import type { BalloonSpec } from './device-spec.ts';
import { KeptState } from './kept-state.ts';
import type { MadeDevice } from './made-device.ts';

export function createBalloon(spec: BalloonSpec): MadeDevice {
  const kept = spec.kept && KeptState.open(spec.kept.fd);
  const onStateChange = () => kept?.keep(device);
  const release: MemoryReleaser = (memory, start, length) => releasePages(memory.address + start, length);
  const device = new BalloonDevice(release, { ...spec, onStateChange });
  kept?.resume(device);
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
