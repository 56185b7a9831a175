/** `--serial hardware=virtio-console`: consoles of a guest in their jails. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { DatagramReceiver } from '../src/base/testing/datagram-receiver.ts';
import { CROSVM } from './linux-guest.ts';
import { OnTerminal } from './pty.ts';
import { missingProgram, virtioGuestWords } from './virtio-guest.ts';

const folder = mkdtempSync(join(tmpdir(), 'crosvm-console-'));
after(() => rmSync(folder, { recursive: true }));
const MIB = 1 << 20;

test('a guest on hvc0: keys, the size of the terminal, a megabyte both ways', {
  skip: missingProgram('setsid') ?? false,
}, async (t) => {
  const [input, output] = [join(folder, 'input'), join(folder, 'output')];
  execFileSync('mkfifo', [input]);
  const datagrams = new DatagramReceiver(join(folder, 'datagrams'));
  const consoles = [
    'hardware=virtio-console,num=1,type=stdout,stdin,console',
    `hardware=virtio-console,num=2,type=file,path=${output},input=${input},name=agent`,
    `hardware=virtio-console,num=3,type=unix,path=${join(folder, 'datagrams')}`,
  ];
  const words = await virtioGuestWords(
    consoles.flatMap((one) => ['--serial', one]),
    // What the kernel says is there, too, since the driver is.
    ['echo the kernel speaks >/dev/kmsg; setsid cttyhack sh -i </dev/hvc0 >/dev/hvc0 2>&1'],
  );
  const guest = new OnTerminal([process.execPath, CROSVM, ...words], { columns: 101, rows: 31 });
  t.after(() => guest.close());
  await guest.says(/the kernel speaks[\s\S]*# /);
  await guest.ask('stty size\r', /\n31 101\r/);
  guest.resize({ columns: 77, rows: 44 });
  await guest.ask('sleep 1; stty size\r', /\n44 77\r/);
  // Ctrl-C is the guest's, and so is Ctrl-A that is typed twice.
  await guest.ask('echo go; sleep 1000\r', /\ngo\r/);
  await guest.ask('\x03', /# /);
  await guest.ask('read -n 1 c; echo "<$c>" | od -c\r\x01\x01', /< 001 {3}>/);

  await guest.ask('cat /sys/class/virtio-ports/*/name\r', /\nagent\r/);
  await guest.ask('exec 3<>/dev/hvc1; stty raw -echo <&3; echo raw\r', /\nraw\r/);
  const bytes = Buffer.concat(new Array(16).fill(crypto.getRandomValues(new Uint8Array(MIB / 16))));
  const copied = guest.ask(`head -c ${MIB} <&3 >copy; cat copy >&3; echo copied\r`, /\ncopied\r/);
  await writeFile(input, bytes);
  await copied;
  assert.ok(readFileSync(output).equals(bytes));
  await guest.ask('echo a datagram >/dev/hvc2; echo sent\r', /\nsent\r/);
  assert.match(datagrams.take()!, /^a datagram/);
  datagrams.close();
  await guest.ask('\x01x', /$/);
  assert.equal(await guest.ended, 0);
});
