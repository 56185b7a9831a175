/** The commands on disk images as a user meets them: what they print, make and refuse. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { qemuImg, qemuToolsMissing } from './disk/qemu-tools.ts';

const CROSVM = fileURLToPath(new URL('../bin/crosvm', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'crosvm-image-'));
after(() => rmSync(folder, { recursive: true }));

function crosvm(...words: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CROSVM, ...words], { cwd: folder, encoding: 'utf8' });
  return { status, stdout, stderr };
}

/** What a command prints; it must work and complain of nothing. */
function output(...words: string[]): string {
  const { status, stdout, stderr } = crosvm(...words);
  assert.deepEqual([status, stderr], [0, ''], words.join(' '));
  return stdout;
}

function contents(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 100_000) bytes.fill((at / 1000) & 255, at, at + 50_000);
  return bytes;
}

function file(name: string, bytes: Uint8Array): string {
  writeFileSync(join(folder, name), bytes);
  return name;
}

test('convert there and back, plain and compressed', () => {
  const bytes = contents(3_000_000);
  file('a.raw', bytes);
  const keys = [
    'cluster_size=4K',
    'compression_type=zstd,cluster_size=1M',
    'compat=0.10',
    'extended_l2=on,refcount_bits=1',
  ];
  for (const [i, options] of keys.entries()) {
    const compress = i % 2 === 1 && i < 3 ? ['--compress'] : [];
    output('image', 'convert', ...compress, '-o', options, 'a.raw', `a${i}.qcow2`);
    assert.equal(output('image', 'compare', 'a.raw', `a${i}.qcow2`), 'The images are equal.\n');
    assert.match(output('image', 'check', `a${i}.qcow2`), /^The image is sound\.$/m);
    output('image', 'convert', '--to', 'raw', `a${i}.qcow2`, `a${i}.raw`);
    // A qcow2 image has whole sectors.
    assert.deepEqual(Uint8Array.from(readFileSync(join(folder, `a${i}.raw`))).subarray(0, bytes.length), bytes);
    if (qemuToolsMissing() === false) qemuImg(folder, 'check', '-q', `a${i}.qcow2`);
  }
});

test('preallocation: a place for everything, and the same contents', () => {
  const bytes = contents(1 << 20);
  file('pre.raw', bytes);
  const allocated: number[] = [];
  for (const [i, keys] of ['metadata,extended_l2=on', 'falloc,cluster_size=4K', 'full,compat=0.10'].entries()) {
    const image = `pre${i}.qcow2`;
    output('image', 'convert', '-o', `preallocation=${keys}`, 'pre.raw', image);
    assert.equal(output('image', 'compare', 'pre.raw', image), 'The images are equal.\n');
    const { allocatedClusters, totalClusters, errors, leaks } = JSON.parse(output('image', 'check', '--json', image));
    assert.deepEqual([allocatedClusters, errors, leaks], [totalClusters, 0, 0]);
    output('image', 'create', '-o', `preallocation=${keys}`, `empty-${image}`, '8M');
    allocated.push(statSync(join(folder, `empty-${image}`)).blocks * 512);
    if (qemuToolsMissing() === false) {
      for (const made of [image, `empty-${image}`]) qemuImg(folder, 'check', '-q', made);
      qemuImg(folder, 'compare', '-q', 'pre.raw', image);
      qemuImg(folder, 'create', '-q', '-f', 'qcow2', '-o', `preallocation=${keys}`, `theirs-${image}`, '8M');
      const of = (made: string) => statSync(join(folder, made)).blocks * 512;
      const [ours, theirs] = [of(`empty-${image}`), of(`theirs-${image}`)];
      assert.ok(Math.abs(ours - theirs) <= 65536, `${keys}: ${ours} bytes, QEMU's has ${theirs}`);
    }
  }
  assert.ok(allocated[0]! < 2 << 20 && allocated[1]! >= 8 << 20 && allocated[2]! >= 8 << 20, `${allocated}`);
  const over = (...keys: string[]) =>
    crosvm('image', 'create', '-o', ['preallocation=metadata', ...keys].join(','), 'no.qcow2', '1M').stderr;
  assert.match(over('backing_file=pre.raw,backing_fmt=raw'), /no\.qcow2: preallocation would hide the backing file/);
  assert.match(over('data_file=no.data'), /no\.qcow2: preallocation is not for images with a data file/);
  assert.match(
    crosvm('image', 'create', '-o', 'preallocation=some', 'no.qcow2', '1M').stderr,
    /"some" is not one of off/,
  );
  assert.match(
    crosvm('image', 'convert', '-c', '-o', 'preallocation=full', 'pre.raw', 'no.qcow2').stderr,
    /--compress leaves nothing/,
  );
  for (const name of ['no.qcow2', 'no.data']) assert.equal(existsSync(join(folder, name)), false);
  output('image', 'create', '-o', 'preallocation=full,extended_l2=on,backing_file=pre.raw,backing_fmt=raw', 'on.qcow2');
  assert.equal(output('image', 'compare', 'pre.raw', 'on.qcow2'), 'The images are equal.\n');
});

test('convert to formats that are only read', () => {
  file('pack.raw', contents(4096 * 500));
  for (const format of ['zstd', 'android-sparse']) {
    output('image', 'convert', '--to', format, 'pack.raw', `pack.${format}`);
    assert.equal(JSON.parse(output('image', 'info', '--json', `pack.${format}`)).format, format);
    assert.equal(output('image', 'compare', 'pack.raw', `pack.${format}`), 'The images are equal.\n');
  }
  output('create_qcow2', '--backing-file', 'pack.zstd', 'over.qcow2');
  assert.equal(output('image', 'compare', 'pack.raw', 'over.qcow2'), 'The images are equal.\n');
  assert.match(
    crosvm('image', 'resize', 'pack.zstd', '4M').stderr,
    /pack\.zstd: .*(keeps its size|may not be written)/,
  );
});

test('convert leaves zeroes out, and nothing behind when it fails', () => {
  file('sparse.raw', new Uint8Array(8 << 20));
  output('image', 'convert', 'sparse.raw', 'sparse.qcow2');
  const { allocatedClusters, errors, leaks } = JSON.parse(output('image', 'check', '--json', 'sparse.qcow2'));
  assert.deepEqual([allocatedClusters, errors, leaks], [0, 0, 0]);
  const failed = crosvm('image', 'convert', '-o', 'cluster_size=3K', 'sparse.raw', 'bad.qcow2');
  assert.equal(failed.status, 1);
  assert.match(failed.stderr, /^crosvm: image: bad\.qcow2: a cluster size of 3072 is not a power of two/);
  assert.equal(existsSync(join(folder, 'bad.qcow2')), false);
  assert.match(crosvm('image', 'convert', 'sparse.raw', 'sparse.qcow2').stderr, /there is such a file already/);
  assert.match(
    crosvm('image', 'convert', '--to', 'raw', '-c', 'sparse.raw', 'x').stderr,
    /--compress and -o are for qcow2/,
  );
});

test('info, for people and for programs', () => {
  output('image', 'create', '-o', 'cluster_size=128K,compression_type=zstd', 'info.qcow2', '1.5G');
  const text = output('image', 'info', 'info.qcow2');
  for (const line of [
    /^format: +qcow2$/m,
    /^virtual size: +1\.5 GiB \(1610612736 bytes\)$/m,
    /^cluster size: +131072$/m,
  ]) {
    assert.match(text, line);
  }
  const info = JSON.parse(output('image', 'info', '--json', 'info.qcow2'));
  assert.equal(info.virtualSize, 1.5 * 2 ** 30);
  assert.equal(info.compression, 'zstd');
  assert.deepEqual(info.snapshots, []);
  assert.deepEqual(JSON.parse(output('image', 'info', '--json', file('r.raw', contents(1000)))).virtualSize, 1000);
});

test('compare says where images differ', () => {
  const bytes = contents(200_000);
  file('one.raw', bytes);
  file('longer.raw', new Uint8Array([...bytes, ...new Uint8Array(5000)]));
  assert.equal(output('image', 'compare', 'one.raw', 'longer.raw'), 'The images are equal.\n');
  bytes[123_456] = 99;
  file('two.raw', bytes);
  const { status, stdout } = crosvm('image', 'compare', 'one.raw', 'two.raw');
  assert.deepEqual([status, stdout], [1, 'The images differ at byte 123456.\n']);
  const json = crosvm('image', 'compare', '--json', 'one.raw', 'two.raw');
  assert.deepEqual(JSON.parse(json.stdout), { equal: false, firstDifference: 123_456 });
});

test('map: where data lie, in which file', () => {
  file('mapbase.raw', contents(1 << 20));
  output('image', 'create', '-o', 'backing_file=mapbase.raw,backing_fmt=raw', 'map.qcow2', '2M');
  const map = JSON.parse(output('image', 'map', '--json', 'map.qcow2')) as {
    depth: number;
    data: boolean;
    start: number;
  }[];
  assert.ok(map.some(({ depth, data }) => depth === 1 && data));
  assert.deepEqual(map.at(-1), {
    start: 1 << 20,
    length: 1 << 20,
    depth: 0,
    present: false,
    zero: true,
    data: false,
    compressed: false,
  });
  assert.match(output('image', 'map', 'map.qcow2'), /^0x0 .*mapbase\.raw$/m);
});

test('snapshots: create, list, apply, delete', () => {
  file('snap.raw', contents(500_000));
  output('image', 'convert', 'snap.raw', 'snap.qcow2');
  output('image', 'snapshot', 'create', 'snap.qcow2', 'first');
  output('image', 'resize', 'snap.qcow2', '2M');
  assert.match(output('image', 'snapshot', 'list', 'snap.qcow2'), /^1 +first +\d{4}-.* 500224$/m);
  output('image', 'snapshot', 'apply', 'snap.qcow2', '1');
  assert.equal(JSON.parse(output('image', 'info', '--json', 'snap.qcow2')).virtualSize, 500_224);
  output('image', 'compare', 'snap.raw', 'snap.qcow2');
  output('image', 'snapshot', 'delete', 'snap.qcow2', 'first');
  assert.deepEqual(JSON.parse(output('image', 'snapshot', 'list', '--json', 'snap.qcow2')), []);
  output('image', 'check', 'snap.qcow2');
});

test('resize shrinks only when told to', () => {
  output('image', 'create', 'size.qcow2', '10M');
  const refused = crosvm('image', 'resize', 'size.qcow2', '5M');
  assert.match(refused.stderr, /5242880 bytes are less than its 10485760; --shrink allows it/);
  output('image', 'resize', '--shrink', 'size.qcow2', '5M');
  assert.equal(JSON.parse(output('image', 'info', '--json', 'size.qcow2')).virtualSize, 5 << 20);
});

test('check tells errors from leaks, and repairs', () => {
  file('broken.raw', contents(300_000));
  output('image', 'convert', 'broken.raw', 'broken.qcow2');
  const path = join(folder, 'broken.qcow2');
  const bytes = readFileSync(path);
  const block = Number(bytes.readBigUInt64BE(Number(bytes.readBigUInt64BE(48))));
  bytes.writeUInt16BE(5, block + 100); // a cluster that nothing uses
  writeFileSync(path, bytes);
  assert.equal(crosvm('image', 'check', 'broken.qcow2').status, 3);
  bytes.writeUInt16BE(0, block); // the header's own
  writeFileSync(path, bytes);
  const { status, stdout } = crosvm('image', 'check', 'broken.qcow2');
  assert.equal(status, 2);
  assert.match(stdout, /^cluster 0 has the reference count 0, and 1 references$/m);
  assert.equal(crosvm('image', 'check', '--repair=leaks', 'broken.qcow2').status, 2);
  assert.match(output('image', 'check', '--repair', 'broken.qcow2'), /^Repaired \d+ errors/m);
  output('image', 'compare', 'broken.raw', 'broken.qcow2');
  // Guest data in terabyte 16.
  const repaired = readFileSync(path);
  const l2 = Number(repaired.readBigUInt64BE(Number(repaired.readBigUInt64BE(40))) & (2n ** 56n - 1n));
  repaired.writeBigUInt64BE((1n << 63n) | (1n << 44n), l2);
  writeFileSync(path, repaired);
  assert.match(crosvm('image', 'check', 'broken.qcow2').stdout, /^guest data at offset 17592186044416 lies beyond/m);
  assert.match(output('image', 'check', '--repair', 'broken.qcow2'), /^Repaired \d+ errors/m);
  if (qemuToolsMissing() === false) qemuImg(folder, 'check', '-q', 'broken.qcow2');
  output('image', 'convert', '--to', 'raw', 'broken.qcow2', 'mended.raw');
  const mended = readFileSync(join(folder, 'mended.raw'));
  assert.ok(mended.subarray(0, 65536).every((byte) => byte === 0));
  assert.ok(mended.subarray(65536, 300_000).equals(contents(300_000).subarray(65536)));
});

test('create_qcow2, with a size or over a backing file', () => {
  output('create_qcow2', 'c.qcow2', '10000000');
  output('create_qcow2', '--backing_file', 'c.qcow2', 'd.qcow2');
  const info = JSON.parse(output('image', 'info', '--json', 'd.qcow2'));
  assert.deepEqual([info.virtualSize, info.backingFile, info.backingFormat], [10_000_384, 'c.qcow2', 'qcow2']);
  for (const words of [['e.qcow2'], ['--backing-file', 'c.qcow2', 'e.qcow2', '5']]) {
    const { status, stderr } = crosvm('create_qcow2', ...words);
    assert.deepEqual([status, stderr], [2, 'crosvm: create_qcow2: give either SIZE or --backing-file\n']);
  }
});

test('create_composite makes a disk with a partition table that others understand', (t) => {
  file('boot.img', contents(1_000_000));
  file('root.raw', contents(4096 * 100));
  output('image', 'convert', 'root.raw', 'root.qcow2');
  const guid = '01234567-89ab-4cde-8f01-23456789abcd';
  output('create_composite', 'disk.img', 'boot:boot.img:efi', `root:root.qcow2:writable:${guid}`);
  assert.equal(JSON.parse(output('image', 'info', '--json', 'disk.img')).format, 'composite');
  output('image', 'convert', '--to', 'raw', 'disk.img', 'disk.raw');
  const disk = Uint8Array.from(readFileSync(join(folder, 'disk.raw')));
  assert.deepEqual(disk.subarray(20480, 20480 + 1_000_000), contents(1_000_000));
  for (const [words, message] of [
    [['x:'], /LABEL:IMAGE expected/],
    [['a:boot.img:writeable'], /"writeable" is neither/],
    [['a:boot.img', 'a:boot.img'], /two partitions have the label/],
    [['a:boot.img:writable'], /multiple of 4096/],
  ] as const) {
    assert.match(crosvm('create_composite', 'bad.img', ...words).stderr, message);
    assert.equal(existsSync(join(folder, 'bad.img.header')), false);
  }
  const partx = spawnSync('partx', ['-g', '-o', 'START,END,NAME,UUID,TYPE', '-s', 'disk.raw'], {
    cwd: folder,
    encoding: 'utf8',
  });
  if (partx.error !== undefined) return t.diagnostic('partx is missing: the partition table was not compared');
  const rows = partx.stdout
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/));
  assert.deepEqual(rows[0]!.slice(0, 3), ['40', '1999', 'boot']);
  assert.equal(rows[0]![4], 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b');
  assert.deepEqual(rows[1]!.slice(0, 4), ['2000', '2799', 'root', guid]);
});

test('an image that is not trusted opens no files elsewhere', () => {
  mkdirSync(join(folder, 'inner'));
  file('outer.raw', contents(1000));
  output('image', 'create', '-o', 'backing_file=../outer.raw,backing_fmt=raw', 'inner/top.qcow2');
  const refused = crosvm('image', 'map', 'inner/top.qcow2');
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /outer\.raw is outside of the image's folder; if you trust the image, allow "outside"/);
  output('image', 'map', '--allow', 'outside', 'inner/top.qcow2');
  output('image', 'info', 'inner/top.qcow2');
});

test('wrong command lines', () => {
  for (const [words, message] of [
    [['image'], /one of info, check, .* is missing/],
    [['image', 'inof', 'x'], /"inof" is none of .*did you mean info/],
    [['image', 'info'], /FILE is missing/],
    [['image', 'snapshot', 'creat', 'x'], /creat is none of list, create, apply, delete \(did you mean create\?\)/],
    [['image', 'snapshot', 'create', 'x'], /NAME is missing/],
    [['image', 'create', 'x', '10Q'], /SIZE: "10Q" is not a size/],
    [['image', 'create', 'x'], /SIZE is missing/],
    [['image', 'check', '--repair=some', 'x'], /"some" is not one of leaks, all/],
  ] as const) {
    const { status, stderr } = crosvm(...words);
    assert.equal(status, 2, words.join(' '));
    assert.match(stderr, message);
    assert.equal(stderr.trim().split('\n').length, 1);
  }
  assert.match(
    crosvm('image', 'info', 'missing').stderr,
    /^crosvm: image: missing: cannot be opened: there is no such file$/m,
  );
});
