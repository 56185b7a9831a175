import { CrosvmError } from '../../errors.ts';
import { command } from '../command.ts';
import { value } from '../options/option.ts';
import { path } from '../options/syntax.ts';
import { parseSize } from './image/create.ts';

export const createQcow2 = command({
  name: 'create_qcow2',
  summary: 'Make an empty qcow2 image.',
  description:
    'Makes a qcow2 image of a size, or over a backing file and of its size. crosvm image create does the same with more ' +
    'options.',
  options: {
    backingFile: value({
      aliases: ['backing_file'],
      section: 'New image',
      syntax: path(),
      help: 'What the image does not have is read from this file. Its format is told by its contents, and noted.',
    }),
  },
  positionals: [
    { name: 'PATH', help: 'The image; there must be no such file yet.', required: true },
    { name: 'SIZE', help: 'Bytes, or with K, M, G, T behind. Not with a backing file.', required: false },
  ],
  examples: ['crosvm create_qcow2 disk.qcow2 10737418240', 'crosvm create_qcow2 --backing-file base.qcow2 mine.qcow2'],
  async run({ backingFile }, [path, sizeText]) {
    if ((backingFile === undefined) === (sizeText === undefined)) {
      throw new CrosvmError('E_USAGE', 'give either SIZE or --backing-file');
    }
    const { backingSize, makeQcow2 } = await import('../images.ts');
    if (backingFile === undefined) {
      await makeQcow2(path!, { size: parseSize(sizeText!) });
      return 0;
    }
    const [size, backingFormat] = backingSize(path!, backingFile, undefined);
    await makeQcow2(path!, { size, backingFile, backingFormat });
    return 0;
  },
});
