/** How much memory a qcow2 image takes when all of its L2 tables are used: `node bench/disk-memory.ts IMAGE`; in MB. */
import { hostDiskFiles } from '../src/base/host-disk-files.ts';
import { imageCodec } from '../src/base/image-codec.ts';
import { openDisk } from '../src/disk/open-disk.ts';
import { bytesList } from '../src/memory/bytes-list.ts';

/** Guest bytes that a piece of an L2 table of 4 KiB is about, with clusters of 64 KiB. */
const BYTES_PER_SLICE = 512 * 65536;

const list = bytesList(new Uint8Array(4096));
const before = process.memoryUsage().rss;
const disk = openDisk({ files: hostDiskFiles, codec: imageCodec }, process.argv[2]!, {
  writable: true,
  format: 'qcow2',
});
for (let round = 0; round < 2; round++) {
  for (let at = 0; at < disk.size; at += BYTES_PER_SLICE) disk.read(at, list);
}
for (let at = 0; at < disk.size; at += disk.size / 1000) disk.write(Math.floor(at / 4096) * 4096, list);
console.log((process.memoryUsage().rss - before) / 1e6);
disk.close();
