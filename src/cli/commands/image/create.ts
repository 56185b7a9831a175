import type { DiskFormat } from '../../../disk/disk.ts';
import { CrosvmError } from '../../../errors.ts';
import { command } from '../../command.ts';
import { qcow2Option } from '../../options/image.ts';
import { valueOr } from '../../options/option.ts';
import { choice, size as sizeSyntax } from '../../options/syntax.ts';

export const imageCreate = command({
  name: 'image create',
  summary: 'Make an empty image.',
  description: 'Makes an image that reads as zeroes or, over a backing file, as that one.',
  options: {
    format: valueOr({
      short: 'f',
      section: 'New image',
      syntax: choice('qcow2', 'raw'),
      fallback: 'qcow2',
      help: 'Its format.',
    }),
    ...qcow2Option,
  },
  positionals: [
    { name: 'FILE', help: 'The image; there must be no such file yet.', required: true },
    { name: 'SIZE', help: 'Bytes, or with K, M, G, T behind. That of the backing file if left out.', required: false },
  ],
  examples: [
    'crosvm image create disk.qcow2 20G',
    'crosvm image create -o backing_file=debian.qcow2,backing_fmt=qcow2 mine.qcow2',
  ],
  async run({ format, options: keys }, [file, sizeText], output) {
    const { backingSize, createOptions, makeFile, makeQcow2 } = await import('../../images.ts');
    const { byteSize } = await import('../../byte-size.ts');
    let size = sizeText === undefined ? undefined : parseSize(sizeText);
    if (format === 'raw' && keys !== undefined) throw new CrosvmError('E_USAGE', '-o is for qcow2 images');
    let backingFormat: DiskFormat | undefined = keys?.backing_fmt;
    if (keys?.backing_file !== undefined) {
      const [bytes, found] = backingSize(file!, keys.backing_file, backingFormat);
      size ??= bytes;
      backingFormat ??= found;
    }
    if (size === undefined) throw new CrosvmError('E_USAGE', 'SIZE is missing');
    if (format === 'raw') await makeFile(file!, (made) => made.resize(size));
    else {
      const options = { ...createOptions(size, keys), ...(backingFormat && { backingFormat }) };
      await makeQcow2(file!, options, keys?.preallocation);
    }
    output.out(`${file}: ${format}, ${byteSize(size)}\n`);
    return 0;
  },
});

/** A size among the positional arguments. */
export function parseSize(text: string): number {
  try {
    return sizeSyntax().parse(text);
  } catch (error) {
    throw error instanceof CrosvmError ? new CrosvmError('E_USAGE', `SIZE: ${error.message}`) : error;
  }
}
