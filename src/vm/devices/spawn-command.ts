/**
 * How a device process gets into namespaces of its own with the capabilities that it is to have, by unshare(1) and setpriv(1):
 *
 * - A shell is the first process of the namespaces. It says which one it is, and waits until the VMM has said who its users are.
 * - It starts another process, which has all rights in the namespaces, and waits to change the root.
 * - It becomes the device.
 */
import { fileURLToPath } from 'node:url';
import { FILE_CAPABILITIES } from '../../base/privileges.ts';
import { SystemError } from '../../base/system-error.ts';
import { mapOwnUser, mapUsers } from '../../base/user-maps.ts';
import { type DeviceSpec, sharesFolder } from '../../device-process/device-spec.ts';
import { mapsOf, onlyUser, ownUser } from '../../device-process/share-users.ts';
import { explained } from '../../jail/enter-jail.ts';

const ROOT_PROGRAM = fileURLToPath(new URL('./root-entry.js', import.meta.url));

/** It ends with who has started it. */
const TIED = ['--pdeathsig', 'KILL', 'unshare', '--kill-child', '--fork'];
const NAMESPACES = ['--user', '--pid', '--mount', '--net', '--ipc', '--uts'];

/** Its arguments: Node, the program that changes the root, and those of setpriv(1). What it is told comes at descriptor 3. */
const SCRIPT = `
  read -r pid others </proc/self/stat && echo "$pid" && read -r groups <&3 || exit
  root=$1
  shift
  { read -r job <&3 && { "$0" "$root" "$job" || echo "its root could not be changed"; }; } &
  exec setpriv "$groups" "$@" >/dev/null 3<&-
`;

/** The arguments of setpriv(1) that make it a device; `node` are those of Node. */
export function spawnWords(spec: DeviceSpec, node: readonly string[]): string[] {
  const share = sharesFolder(spec) ? spec : undefined;
  const { uid, gid } = ownUser(share ?? {});
  // Who is not root inside has no rights otherwise. (Before util-linux 2.36 there is no such option.)
  const keeping = (share?.users ?? share?.groups ?? share?.user) === undefined ? [] : ['--keep-caps'];
  const capabilities = share === undefined || share.user !== undefined ? [] : FILE_CAPABILITIES;
  return [
    ...[...TIED, ...keeping, ...NAMESPACES, '--propagation', share?.followsMounts === true ? 'slave' : 'private'],
    ...['sh', '-c', SCRIPT, process.execPath, ROOT_PROGRAM],
    ...[`--reuid=${uid}`, `--regid=${gid}`, ...powers(capabilities), '--', process.execPath, ...node],
  ];
}

/** Of all threads that there will be. */
function powers(capabilities: readonly number[]): string[] {
  const set = ['-all', ...capabilities.map((number) => `+cap_${number}`)].join(',');
  return ['--no-new-privs', `--inh-caps=${set}`, `--ambient-caps=${set}`, `--bounding-set=${set}`];
}

/** Says who the users of a process's namespace are. Returns what setpriv(1) is to do with its groups. Throws `E_JAIL`. */
export function settleSpawned(pid: number, spec: DeviceSpec): '--clear-groups' | '--keep-groups' {
  const place = `/proc/${pid}`;
  const owner = { uid: process.geteuid!(), gid: process.getegid!() };
  const share = sharesFolder(spec) ? spec : undefined;
  if (share !== undefined && mapAll(place, mapsOf(share))) return '--clear-groups';
  explained(() => mapOwnUser(place, owner, onlyUser(share ?? {}, owner)));
  return '--keep-groups';
}

/** False if this process may not be them. */
function mapAll(place: string, maps: ReturnType<typeof mapsOf>): boolean {
  try {
    mapUsers(place, ...maps);
    return true;
  } catch (error) {
    if (error instanceof SystemError && error.errno === 'EPERM') return false;
    throw error;
  }
}
