/** A network namespace in which everybody may ping: root can make one without changing the host. */
import { spawnSync } from 'node:child_process';
import { mayPing } from '../src/base/ping-permission.ts';

/** What the shell says of a namespace that cannot be made ready. */
const NO_NAMESPACE = 99;

/** An address of the namespace that is neither the guest's nor its router's. */
export const PING_ADDRESS = '10.99.80.1';

/** passt takes addresses and a router from an interface; that this one leads nowhere does not matter. */
const SET_UP = `{
  ip link set lo up && ip address add ${PING_ADDRESS}/32 dev lo &&
  ip link add uplink type veth peer name nowhere && ip link set nowhere up && ip link set uplink up &&
  ip address add 10.99.79.2/24 dev uplink && ip route add default via 10.99.79.1 &&
  echo 0 2147483647 >/proc/sys/net/ipv4/ping_group_range
} || exit ${NO_NAMESPACE}; exec "$@"`;

/** Whether a guest without privileges can ping PING_ADDRESS here. */
export function canPing(): boolean {
  const { stdout } = spawnSync('ip', ['-o', 'address', 'show', 'to', PING_ADDRESS], { encoding: 'utf8' });
  return mayPing() && (stdout ?? '').includes(PING_ADDRESS);
}

/** Runs this program once more, in a namespace in which it `canPing`; its status, or undefined where there can be none. */
export function runWhereItCanPing(): number | undefined {
  const program = [process.execPath, ...process.argv.slice(1)];
  const { status } = spawnSync('unshare', ['--net', 'sh', '-c', SET_UP, 'sh', ...program], { stdio: 'inherit' });
  return status === null || status === NO_NAMESPACE ? undefined : status;
}
