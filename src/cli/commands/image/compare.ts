import { trustOf } from '../../../disk/image-trust.ts';
import { command } from '../../command.ts';
import { imageOptions, jsonOption } from '../../options/image.ts';

export const imageCompare = command({
  name: 'image compare',
  summary: 'Compare the contents of two images.',
  description:
    'Compares what two images hold, whatever their formats. If one is longer, what it has more must be zeroes. Exits ' +
    'with 0 if they are equal and with 1 if not.',
  options: { ...imageOptions, ...jsonOption },
  positionals: [
    { name: 'A', help: 'An image.', required: true },
    { name: 'B', help: 'Another.', required: true },
  ],
  examples: ['crosvm image compare disk.qcow2 disk.raw'],
  async run(options, [a, b], output) {
    const { withDisk } = await import('../../images.ts');
    const { progressBar } = await import('../../progress.ts');
    const { compareDisks } = await import('../../../disk/tools/compare.ts');
    const how = { format: options.format, trust: trustOf(options.allow) };
    const bar = progressBar('Comparing');
    const difference = withDisk(a!, how, (one) => withDisk(b!, how, (two) => compareDisks(one, two, bar.update)));
    bar.end();
    if (options.json) {
      output.out(`${JSON.stringify({ equal: difference === undefined, firstDifference: difference })}\n`);
    } else if (difference === undefined) output.out('The images are equal.\n');
    else output.out(`The images differ at byte ${difference}.\n`);
    return difference === undefined ? 0 : 1;
  },
});
