import { trustOf } from '../../../disk/image-trust.ts';
import { CrosvmError } from '../../../errors.ts';
import { command } from '../../command.ts';
import { imageOptions } from '../../options/image.ts';
import { flag } from '../../options/option.ts';
import { parseSize } from './create.ts';

export const imageResize = command({
  name: 'image resize',
  summary: 'Change the size of the disk in an image.',
  description: 'Makes the disk larger, with zeroes, or, with --shrink, smaller: what was behind its new end is lost.',
  options: {
    ...imageOptions,
    shrink: flag({ section: 'Size', help: 'Allow a smaller size.' }),
  },
  positionals: [
    { name: 'FILE', help: 'The image.', required: true },
    { name: 'SIZE', help: 'Bytes, or with K, M, G, T behind.', required: true },
  ],
  examples: ['crosvm image resize disk.qcow2 40G'],
  async run(options, [file, sizeText]) {
    const { withDisk } = await import('../../images.ts');
    const size = parseSize(sizeText!);
    withDisk(file!, { writable: true, format: options.format, trust: trustOf(options.allow) }, (disk) => {
      if (size < disk.size && !options.shrink) {
        throw new CrosvmError(
          'E_DISK_RESIZE',
          `${file}: ${size} bytes are less than its ${disk.size}; --shrink allows it`,
        );
      }
      disk.resize(size);
    });
    return 0;
  },
});
