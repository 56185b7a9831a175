import type { ByteStore } from '../../../disk/byte-store.ts';
import type { DiskFormat } from '../../../disk/disk.ts';
import { byteSize } from '../../byte-size.ts';
import { command } from '../../command.ts';
import { imageOptions, jsonOption } from '../../options/image.ts';
import { snapshotJson } from './snapshot.ts';

export const imageInfo = command({
  name: 'image info',
  summary: 'Say what an image is.',
  description:
    'Prints the format, the sizes and the properties of an image. Opens only that file: not its backing file.',
  options: { format: imageOptions.format, ...jsonOption },
  positionals: [{ name: 'FILE', help: 'The image.', required: true }],
  examples: ['crosvm image info disk.qcow2'],
  async run({ format, json }, [file], output) {
    const { hostDiskFiles } = await import('../../../base/host-disk-files.ts');
    const { probeFormat } = await import('../../../disk/probe.ts');
    const { allocatedBytes } = await import('../../../base/host-file.ts');
    // Without a lock: to look at an image that is in use harms nobody.
    const { store } = hostDiskFiles.open(file!, { writable: false, lock: false, direct: false, regular: false });
    try {
      const found = format ?? probeFormat(store);
      const info = { file: file!, format: found, ...(await details(store, found)), fileSize: allocatedBytes(file!) };
      output.out(json ? `${JSON.stringify(info)}\n` : text(info));
      return 0;
    } finally {
      store.close();
    }
  },
});

type Info = Record<string, unknown>;

async function details(store: ByteStore, format: DiskFormat): Promise<Info> {
  if (format !== 'qcow2') {
    const { openDisk } = await import('../../../disk/open-disk.ts');
    const { hostWorld } = await import('../../images.ts');
    const disk = openDisk(hostWorld, store.name, { format });
    const { size } = disk;
    disk.close();
    return { virtualSize: size };
  }
  const { qcow2Info } = await import('../../../disk/tools/info.ts');
  const { header, snapshots, ...rest } = qcow2Info(store);
  return {
    virtualSize: header.size,
    version: header.version,
    ...rest,
    compression: header.compression,
    backingFile: header.backingFile,
    backingFormat: header.backingFormat,
    dataFile: header.dataFile,
    bitmaps: header.bitmaps?.count,
    snapshots: snapshots.map(snapshotJson),
  };
}

const LABELS: Readonly<Record<string, string>> = {
  file: 'file',
  format: 'format',
  virtualSize: 'virtual size',
  fileSize: 'size on the host',
  version: 'version',
  clusterSize: 'cluster size',
  refcountBits: 'bits of a reference count',
  extendedL2: 'extended L2 entries',
  lazyRefcounts: 'lazy reference counts',
  dirty: 'not closed properly',
  corrupt: 'marked corrupt',
  compression: 'compression',
  backingFile: 'backing file',
  backingFormat: 'backing format',
  dataFile: 'data file',
  bitmaps: 'bitmaps',
};
const SIZES = ['virtualSize', 'fileSize'];

/** A line for each property that there is; names in an image are strangers' and shown quoted. */
function text(info: Info): string {
  const shown = (key: string, value: unknown) => {
    if (SIZES.includes(key)) return byteSize(value as number);
    if (typeof value === 'boolean') return value ? 'yes' : 'no';
    return key.startsWith('backing') || key === 'dataFile' ? JSON.stringify(value) : String(value);
  };
  const lines = Object.entries(LABELS).flatMap(([key, label]) =>
    info[key] === undefined ? [] : [`${`${label}:`.padEnd(28)}${shown(key, info[key])}\n`],
  );
  const snapshots = (info.snapshots ?? []) as { name: string; date: string }[];
  const listed = snapshots.map(({ name, date }) => `${'snapshot:'.padEnd(28)}${JSON.stringify(name)} of ${date}\n`);
  return [...lines, ...listed].join('');
}
