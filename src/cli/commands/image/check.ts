import type { CheckReport } from '../../../disk/qcow2/check-report.ts';
import { CrosvmError } from '../../../errors.ts';
import { command, type Output } from '../../command.ts';
import { imageOptions, jsonOption } from '../../options/image.ts';
import { valueOrImplied } from '../../options/option.ts';
import { choice } from '../../options/syntax.ts';

/** Exit statuses for an image that is not as it should be. */
const ERRORS = 2;
const LEAKS = 3;

export const imageCheck = command({
  name: 'image check',
  summary: 'Check a qcow2 image, and repair it.',
  description:
    'Reads all tables of a qcow2 image and compares the reference counts with what is in use. Exits with 0 for a sound ' +
    'image, 2 if errors are left, 3 if only clusters that nothing uses are.',
  options: {
    format: imageOptions.format,
    repair: valueOrImplied({
      section: 'Image',
      syntax: choice('leaks', 'all'),
      implied: 'all',
      help: 'Repair what is wrong: everything that can be, or only give back clusters that nothing uses (leaks).',
    }),
    ...jsonOption,
  },
  positionals: [{ name: 'FILE', help: 'The image.', required: true }],
  examples: ['crosvm image check disk.qcow2', 'crosvm image check --repair disk.qcow2'],
  async run({ format, repair, json }, [file], output) {
    const { hostDiskFiles } = await import('../../../base/host-disk-files.ts');
    const { probeFormat } = await import('../../../disk/probe.ts');
    const { readHeader } = await import('../../../disk/qcow2/open.ts');
    const { checkImage } = await import('../../../disk/qcow2/check.ts');
    const writable = repair !== undefined;
    const { store } = hostDiskFiles.open(file!, { writable, lock: true, direct: false, regular: false });
    try {
      const found = format ?? probeFormat(store);
      if (found !== 'qcow2') {
        throw new CrosvmError('E_DISK_UNSUPPORTED', `${file}: a ${found} image has no tables to check`);
      }
      const result = checkImage(store, readHeader(store), repair ?? 'none');
      output.out(json ? asJson(file!, result.found, result.left) : '');
      if (!json) print(output, result.found, result.left, writable);
      return result.left.errors > 0 ? ERRORS : result.left.leaks > 0 ? LEAKS : 0;
    } finally {
      store.close();
    }
  },
});

function asJson(file: string, found: CheckReport, left: CheckReport): string {
  const { allocatedClusters, compressedClusters, fragmentedClusters, totalClusters, imageEnd } = left;
  const report = {
    file,
    errors: left.errors,
    leaks: left.leaks,
    repairedErrors: found.errors - left.errors,
    repairedLeaks: found.leaks - left.leaks,
    messages: left.messages,
    allocatedClusters,
    compressedClusters,
    fragmentedClusters,
    totalClusters,
    imageEnd,
  };
  return `${JSON.stringify(report)}\n`;
}

function print(output: Output, found: CheckReport, left: CheckReport, repaired: boolean): void {
  for (const message of left.messages) output.out(`${message}\n`);
  const { errors, leaks } = found;
  if (repaired && errors + leaks > 0) {
    output.out(`Repaired ${errors - left.errors} errors and ${leaks - left.leaks} leaked clusters.\n`);
  }
  if (left.errors > 0) output.out(`${left.errors} errors: the image may lose data if it is written.\n`);
  if (left.leaks > 0) output.out(`${left.leaks} leaked clusters: space that nothing uses, and no harm.\n`);
  if (left.errors + left.leaks === 0) output.out('The image is sound.\n');
  const { allocatedClusters, totalClusters, compressedClusters, fragmentedClusters, imageEnd } = left;
  const percent = (part: number, all: number) => `${all === 0 ? 0 : Math.round((part / all) * 100)}%`;
  output.out(
    `${allocatedClusters} of ${totalClusters} clusters allocated (${percent(allocatedClusters, totalClusters)}), ` +
      `${percent(compressedClusters, allocatedClusters)} of them compressed, ` +
      `${percent(fragmentedClusters, allocatedClusters)} fragmented; the image ends at ${imageEnd}\n`,
  );
}
