/**
 * A folder in this program's memory, which a guest writes to: `node examples/memory-folder.ts SOCKET`, and for the guest
 *
 *     crosvm run --vhost-user type=fs,socket=SOCKET ...
 *     guest# mount -t virtiofs scratch /mnt
 *
 * When the VM is over, what it has left in `result` is printed.
 */
import { getFile, putFile } from '../src/host-folder/folder-files.ts';
import { MemoryFolder } from '../src/host-folder/memory/memory-folder.ts';
import { serveFolder } from './serve-folder.ts';

const CAPACITY = 64 << 20;

const folder = new MemoryFolder(CAPACITY);
putFile(folder, 'input/numbers', '3\n4\n5\n');
putFile(
  folder,
  'run',
  '#!/bin/sh\nsum=0; while read n; do sum=$((sum + n)); done <input/numbers; echo $sum >result\n',
  0o755,
);
await serveFolder(folder, 'scratch', process.argv[2]!);
process.stdout.write(getFile(folder, 'result'));
