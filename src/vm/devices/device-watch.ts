/** What the main thread does for a virtio device while its VM runs: nothing per request. */
import { EventFd } from '../../base/event-fd.ts';
import { onHangUp, onReadable } from '../../base/readable.ts';
import type { VirtioPci } from '../../pci/virtio-pci/virtio-pci.ts';
import { serveBackEnd } from '../../vhost-user/front-end/back-end-requests.ts';
import type { VhostUserLink } from '../../vhost-user/front-end/vhost-user-link.ts';
import type { ConnectedDevice } from './connect-device.ts';

/** Until `resources` are disposed of. `device` and `link` are this thread's. */
export function watchDevice(
  { handle, requests }: ConnectedDevice,
  device: VirtioPci,
  link: VhostUserLink,
  resources: DisposableStack,
): void {
  const { fd, wiring } = handle.backEnd;
  const line = new EventFd(wiring.line);
  const error = new EventFd(wiring.error);
  const subscriptions = [
    onReadable(line.fd, () => {
      if (line.clear() > 0) device.queueUsed();
    }),
    onReadable(error.fd, () => {
      if (error.clear() > 0) device.deviceLost('the back end cannot go on with one of its queues');
    }),
    serveBackEnd(requests, () => device.configChanged()),
    onHangUp(fd, () => {
      link.disconnected();
      device.deviceLost('the back end has ended the connection');
    }),
  ];
  resources.defer(() => {
    for (const subscription of subscriptions) subscription.close();
    link.close();
  });
}
