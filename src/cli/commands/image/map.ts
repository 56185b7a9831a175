import { trustOf } from '../../../disk/image-trust.ts';
import type { MapEntry } from '../../../disk/tools/map.ts';
import { command } from '../../command.ts';
import { imageOptions, jsonOption } from '../../options/image.ts';

export const imageMap = command({
  name: 'image map',
  summary: 'Show where the data of an image lies.',
  description:
    'Prints a line for each stretch of the disk that has data: where it starts and how long it is, and in which file and ' +
    'where it lies. JSON has all stretches: zeroes too, and what no image of the backing chain has ("present").',
  options: { ...imageOptions, ...jsonOption },
  positionals: [{ name: 'FILE', help: 'The image.', required: true }],
  examples: ['crosvm image map disk.qcow2'],
  async run(options, [file], output) {
    const { withDisk } = await import('../../images.ts');
    const { mapDisk } = await import('../../../disk/tools/map.ts');
    const { format, json } = options;
    withDisk(file!, { format, trust: trustOf(options.allow) }, (disk) => {
      if (json) output.out('[');
      else output.out(line('Start', 'Length', 'At', 'File'));
      let separator = '';
      for (const entry of mapDisk(disk)) {
        if (json) {
          output.out(`${separator}${JSON.stringify(jsonEntry(entry))}`);
          separator = ',\n';
        } else if (entry.kind !== 'zero') {
          const at = entry.offset === undefined ? entry.kind : hex(entry.offset);
          output.out(line(hex(entry.start), hex(entry.length), at, entry.file ?? ''));
        }
      }
      if (json) output.out(']\n');
    });
    return 0;
  },
});

function jsonEntry({ start, length, kind, depth, allocated, file, offset }: MapEntry) {
  const data = kind !== 'zero';
  return {
    start,
    length,
    depth,
    present: allocated,
    zero: !data,
    data,
    compressed: kind === 'compressed',
    file,
    offset,
  };
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

function line(start: string, length: string, at: string, file: string): string {
  return `${start.padEnd(16)}${length.padEnd(16)}${at.padEnd(16)}${file}`.trimEnd().concat('\n');
}
