import { commandGroup } from '../command-group.ts';
import { deviceBalloon } from './device/balloon.ts';
import { deviceBlock } from './device/block.ts';
import { deviceConsole } from './device/console.ts';
import { deviceFs } from './device/fs.ts';
import { deviceNet } from './device/net.ts';
import { deviceP9 } from './device/p9.ts';
import { deviceRng } from './device/rng.ts';
import { deviceVsock } from './device/vsock.ts';

export const device = commandGroup(
  {
    name: 'device',
    summary: 'Run a virtio device by itself.',
    description:
      'Runs one virtio device as a program of its own, for any virtual machine monitor that speaks vhost-user: ' +
      '"crosvm run --vhost-user", QEMU with vhost-user devices, and others.',
  },
  [deviceBalloon, deviceBlock, deviceConsole, deviceFs, deviceNet, deviceP9, deviceRng, deviceVsock],
);
