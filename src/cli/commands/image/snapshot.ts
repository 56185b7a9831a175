import { trustOf } from '../../../disk/image-trust.ts';
import type { Qcow2Disk } from '../../../disk/qcow2/qcow2-disk.ts';
import type { Snapshot } from '../../../disk/qcow2/snapshot-table.ts';
import { CrosvmError } from '../../../errors.ts';
import { command } from '../../command.ts';
import { suggestion } from '../../nearest.ts';
import { imageOptions, jsonOption } from '../../options/image.ts';

const ACTIONS = ['list', 'create', 'apply', 'delete'];

export const imageSnapshot = command({
  name: 'image snapshot',
  summary: 'List, create, apply or delete the snapshots in a qcow2 image.',
  description:
    'Works on the snapshots inside a qcow2 image. "create" keeps the state of the disk under a name, "apply" puts the disk ' +
    'back to it (what was written since is lost), "delete" gives its space back.',
  options: { ...imageOptions, ...jsonOption },
  positionals: [
    { name: 'ACTION', help: 'list, create, apply or delete.', required: true },
    { name: 'FILE', help: 'The image.', required: true },
    { name: 'NAME', help: 'The name or, for apply and delete, the number of the snapshot.', required: false },
  ],
  examples: ['crosvm image snapshot create disk.qcow2 before-upgrade', 'crosvm image snapshot list disk.qcow2'],
  async run(options, [action, file, name], output) {
    if (!ACTIONS.includes(action!)) usage(`${action} is none of ${ACTIONS.join(', ')}${suggestion(action!, ACTIONS)}`);
    if (action !== 'list' && name === undefined) usage('NAME is missing');
    if (action === 'list' && name !== undefined) usage(`unexpected argument ${name}`);
    const { withDisk } = await import('../../images.ts');
    const { Qcow2Disk } = await import('../../../disk/qcow2/qcow2-disk.ts');
    const { listSnapshots } = await import('../../../disk/qcow2/snapshots.ts');
    const how = { writable: action !== 'list', format: options.format, trust: trustOf(options.allow) };
    const change = await changeBy(action!, name);
    return withDisk(file!, how, (disk) => {
      if (!(disk instanceof Qcow2Disk)) {
        throw new CrosvmError(
          'E_DISK_SNAPSHOT',
          `${file}: only qcow2 images have snapshots; this one is ${disk.format}`,
        );
      }
      if (action === 'list') output.out(listed(listSnapshots(disk.parts), options.json));
      change?.(disk);
      return 0;
    });
  },
});

async function changeBy(action: string, name: string | undefined): Promise<((disk: Qcow2Disk) => void) | undefined> {
  const { applySnapshot, createSnapshot, deleteSnapshot } = await import('../../../disk/qcow2/snapshots.ts');
  if (action === 'create') return (disk) => createSnapshot(disk.parts, name!, Date.now());
  if (action === 'apply') return (disk) => applySnapshot(disk.parts, name!);
  if (action === 'delete') return (disk) => deleteSnapshot(disk.parts, name!);
  return undefined;
}

function listed(snapshots: readonly Snapshot[], json: boolean): string {
  if (json) return `${JSON.stringify(snapshots.map(snapshotJson))}\n`;
  const rows = snapshots.map((s) => [s.id, s.name, dateOf(s), String(s.diskSize)]);
  return [['ID', 'Name', 'Date', 'Disk size'], ...rows].map(line).join('');
}

/** A snapshot as JSON shows it. */
export function snapshotJson(snapshot: Snapshot) {
  const { id, name, diskSize, vmStateSize } = snapshot;
  return { id, name, date: dateOf(snapshot), diskSize, vmStateSize };
}

function dateOf({ seconds }: Snapshot): string {
  return new Date(seconds * 1000).toISOString();
}

function line([id, name, date, size]: readonly string[]): string {
  // A name is an image's: nothing of it may reach the terminal as a command.
  const safe = name!.replace(/\p{Cc}/gu, '?');
  return `${id!.padEnd(6)}${safe.padEnd(24)} ${date!.padEnd(26)}${size}\n`;
}

function usage(message: string): never {
  throw new CrosvmError('E_USAGE', message);
}
