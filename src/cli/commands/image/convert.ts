import type { HostFile } from '../../../base/host-file.ts';
import type { Disk } from '../../../disk/disk.ts';
import { trustOf } from '../../../disk/image-trust.ts';
import type { Progress } from '../../../disk/tools/progress.ts';
import { CrosvmError } from '../../../errors.ts';
import { command } from '../../command.ts';
import { imageOptions, qcow2Option } from '../../options/image.ts';
import { flag, type Parsed, valueOr } from '../../options/option.ts';
import { choice } from '../../options/syntax.ts';

const options = {
  ...imageOptions,
  to: valueOr({
    section: 'New image',
    syntax: choice('qcow2', 'raw', 'android-sparse', 'zstd'),
    fallback: 'qcow2',
    help: 'The format of the new image.',
  }),
  compress: flag({ short: 'c', section: 'New image', help: 'Compress all clusters of a qcow2 image.' }),
  ...qcow2Option,
};
type Options = Parsed<typeof options>;

export const imageConvert = command({
  name: 'image convert',
  summary: 'Copy an image to a new one of another format.',
  description:
    'Copies what an image and its backing files hold to a new image, which has no backing file. Zeroes take no space ' +
    'there.',
  options,
  positionals: [
    { name: 'SRC', help: 'The image to copy.', required: true },
    { name: 'DST', help: 'The new image; there must be no such file yet.', required: true },
  ],
  examples: [
    'crosvm image convert debian.qcow2 --to raw debian.raw',
    'crosvm image convert --compress -o compression_type=zstd disk.raw disk.qcow2',
  ],
  async run(given, [from, to]) {
    checkTogether(given);
    const { hostWorld, makeFile } = await import('../../images.ts');
    const { openDisk } = await import('../../../disk/open-disk.ts');
    const { progressBar } = await import('../../progress.ts');
    const source = openDisk(hostWorld, from!, { lock: true, format: given.format, trust: trustOf(given.allow) });
    const bar = progressBar('Converting');
    try {
      await makeFile(to!, (file) => fill(source, file, given, bar.update));
    } finally {
      source.close();
      bar.end();
    }
    return 0;
  },
});

function checkTogether({ to, compress, options: keys }: Options): void {
  const usage = (message: string) => new CrosvmError('E_USAGE', message);
  if (to !== 'qcow2' && (compress || keys !== undefined)) throw usage('--compress and -o are for qcow2 images');
  if (keys?.backing_file !== undefined || keys?.backing_fmt !== undefined)
    throw usage('the new image has no backing file');
  if (compress && (keys?.preallocation ?? 'off') !== 'off')
    throw usage('--compress leaves nothing that preallocation could be for');
  if (keys?.data_file !== undefined) throw usage('the new image has no data file');
}

async function fill(source: Disk, file: HostFile, given: Options, progress: Progress): Promise<void> {
  const { createOptions, hostWorld, newQcow2, withPacker } = await import('../../images.ts');
  const { codec } = hostWorld;
  if (given.to === 'zstd') {
    const { writeZstd } = await import('../../../disk/zstd-writer.ts');
    return writeZstd(source, file, codec, progress);
  }
  if (given.to === 'android-sparse') {
    const { writeAndroidSparse } = await import('../../../disk/android-sparse-writer.ts');
    return writeAndroidSparse(source, file, progress);
  }
  const { copyCompressed, copyDisk } = await import('../../../disk/tools/copy.ts');
  if (given.to === 'raw') {
    const { RawDisk } = await import('../../../disk/raw.ts');
    file.resize(source.size);
    return copyDisk(source, new RawDisk(file), progress);
  }
  const target = newQcow2(file, createOptions(source.size, given.options), given.options?.preallocation);
  if (given.compress) await withPacker(target, (packer) => copyCompressed(source, target, packer, progress));
  else copyDisk(source, target, progress);
  target.finish();
}
