import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { F_WRLCK, O_RDONLY, O_RDWR, O_WRONLY } from '../host-folder/constants.ts';
import {
  EBADF,
  EBUSY,
  EFBIG,
  EINVAL,
  EISDIR,
  EMSGSIZE,
  ENAMETOOLONG,
  ENOENT,
  ENOMEM,
  ENOSPC,
  ENXIO,
  EOPNOTSUPP,
  EPROTO,
  ERANGE,
} from '../host-folder/errno.ts';
import { openFolder } from '../host-folder/linux/open-folder.ts';
import { bytesList } from '../memory/bytes-list.ts';
import { DEFAULT_P9_OPTIONS } from './p9-options.ts';
import { P9Server } from './p9-server.ts';
import * as protocol from './protocol.ts';
import { b, d, directTransport, encode, P9Client, q, w } from './testing/p9-client.ts';

const ROOT = 0;
const MSIZE = 65536;

let outside: string;
let share: string;
let server: P9Server;
let client: P9Client;

beforeEach(() => {
  outside = mkdtempSync(join(tmpdir(), 'crosvm-p9-'));
  share = join(outside, 'share');
  mkdirSync(share);
  writeFileSync(join(outside, 'secret'), 'secret');
  server = new P9Server(openFolder(share), DEFAULT_P9_OPTIONS);
  client = new P9Client(directTransport(server));
  client.start(ROOT, process.geteuid!(), MSIZE);
});

afterEach(() => {
  server.close();
  assert.deepEqual(readdirSync(outside).sort(), ['secret', 'share'], 'something was made outside of the folder');
  assert.equal(readFileSync(join(outside, 'secret'), 'utf8'), 'secret');
  rmSync(outside, { recursive: true });
});

/** Names that are none, and what they are refused with; dots are some only in a walk. */
const BAD_NAMES: readonly (readonly [string, number])[] = [
  ['', ENOENT],
  ['a/b', EINVAL],
  ['/', EINVAL],
  ['/etc/passwd', EINVAL],
  ['../secret', EINVAL],
  ['a\0b', EINVAL],
  ['\0', EINVAL],
  ['a'.repeat(256), ENAMETOOLONG],
  ['a'.repeat(4096), ENAMETOOLONG],
];

test('names that are none are refused by every operation that takes one', () => {
  client.walk(ROOT, 1);
  client.create(1, 'file', O_RDWR);
  client.walk(ROOT, 2, 'file');
  for (const [name, errno] of [...BAD_NAMES, ['.', EINVAL], ['..', EINVAL]] as const) {
    const outcomes = {
      lcreate: client.errno(protocol.Tlcreate, d(ROOT), name, d(O_RDWR), d(0o644), d(0)),
      symlink: client.errno(protocol.Tsymlink, d(ROOT), name, 'target', d(0)),
      mknod: client.errno(protocol.Tmknod, d(ROOT), name, d(0o100644), d(0), d(0), d(0)),
      mkdir: client.errno(protocol.Tmkdir, d(ROOT), name, d(0o755), d(0)),
      link: client.errno(protocol.Tlink, d(ROOT), d(2), name),
      rename: client.errno(protocol.Trename, d(2), d(ROOT), name),
      renameFrom: client.errno(protocol.Trenameat, d(ROOT), name, d(ROOT), 'x'),
      renameTo: client.errno(protocol.Trenameat, d(ROOT), 'file', d(ROOT), name),
      unlink: client.errno(protocol.Tunlinkat, d(ROOT), name, d(0)),
      rmdir: client.errno(protocol.Tunlinkat, d(ROOT), name, d(protocol.AT_REMOVEDIR)),
    };
    for (const [operation, outcome] of Object.entries(outcomes)) {
      assert.equal(outcome, errno, `${operation} of ${JSON.stringify(name.slice(0, 20))}`);
    }
  }
  for (const [name, errno] of BAD_NAMES) {
    assert.equal(client.errno(protocol.Twalk, d(ROOT), d(3), w(1), name), errno);
    assert.equal(client.errno(protocol.Twalk, d(ROOT), d(3), w(2), '..', name), 0);
  }
  assert.deepEqual(readdirSync(share), ['file']);
});

test('targets of links that no system would take are refused', () => {
  assert.equal(client.errno(protocol.Tsymlink, d(ROOT), 'a', '', d(0)), ENOENT);
  assert.equal(client.errno(protocol.Tsymlink, d(ROOT), 'a', 'x\0y', d(0)), EINVAL);
  assert.equal(client.errno(protocol.Tsymlink, d(ROOT), 'a', 'x'.repeat(4096), d(0)), ENAMETOOLONG);
  assert.equal(client.errno(protocol.Tsymlink, d(ROOT), 'a', 'x'.repeat(4095), d(0)), 0);
  client.walk(ROOT, 1, 'a');
  assert.equal(client.ask(protocol.Treadlink, d(1)).text().length, 4095);
});

test('a fid that is in use is not given again, and one that is not is refused', () => {
  client.walk(ROOT, 1);
  assert.equal(client.errno(protocol.Twalk, d(ROOT), d(1), w(0)), EBADF);
  assert.equal(client.errno(protocol.Tattach, d(1), d(protocol.NOFID), '', '', d(0)), EBADF);
  assert.equal(client.errno(protocol.Txattrwalk, d(ROOT), d(1), ''), EBADF);
  assert.equal(client.errno(protocol.Twalk, d(ROOT), d(protocol.NOFID), w(0)), EBADF);
  client.open(1, O_RDONLY);
  assert.equal(client.errno(protocol.Tlopen, d(1), d(O_RDONLY)), EBADF);
  assert.equal(client.errno(protocol.Tlcreate, d(1), 'x', d(O_RDWR), d(0o644), d(0)), EBADF);
  assert.equal(client.errno(protocol.Txattrcreate, d(1), 'user.x', q(1), d(0)), EBADF);
  assert.equal(client.errno(protocol.Twalk, d(1), d(1), w(0)), EINVAL);
  for (const fid of [2, 77, protocol.NOFID]) {
    assert.equal(client.errno(protocol.Twalk, d(fid), d(3), w(0)), EBADF);
    assert.equal(client.errno(protocol.Tlopen, d(fid), d(0)), EBADF);
    assert.equal(client.errno(protocol.Tread, d(fid), q(0), d(1)), EBADF);
    assert.equal(client.errno(protocol.Twrite, d(fid), q(0), d(1), Buffer.from('x')), EBADF);
    assert.equal(client.errno(protocol.Treaddir, d(fid), q(0), d(100)), EBADF);
    assert.equal(client.errno(protocol.Tgetattr, d(fid), q(0)), EBADF);
    assert.equal(client.errno(protocol.Trenameat, d(ROOT), 'a', d(fid), 'b'), EBADF);
    assert.equal(client.errno(protocol.Tlink, d(ROOT), d(fid), 'b'), EBADF);
    assert.equal(client.errno(protocol.Tlock, d(fid), b(F_WRLCK), d(0), q(0), q(0), d(1), 'h'), EBADF);
    assert.equal(client.errno(protocol.Tremove, d(fid)), EBADF);
  }
});

test('a file that is not open is neither read nor written', () => {
  writeFileSync(join(share, 'a'), 'x');
  client.walk(ROOT, 1, 'a');
  assert.equal(client.errno(protocol.Tread, d(1), q(0), d(1)), EBADF);
  assert.equal(client.errno(protocol.Twrite, d(1), q(0), d(1), Buffer.from('x')), EBADF);
  assert.equal(client.errno(protocol.Tfsync, d(1), d(0)), EBADF);
  assert.equal(client.errno(protocol.Treaddir, d(ROOT), q(0), d(100)), EBADF);
  client.open(1, O_RDONLY);
  assert.equal(client.errno(protocol.Twrite, d(1), q(0), d(1), Buffer.from('x')), EBADF);
  assert.equal(client.errno(protocol.Tlopen, d(ROOT), d(O_WRONLY)), EISDIR);
});

test('the root stays where it is', () => {
  client.walk(ROOT, 1);
  assert.equal(client.errno(protocol.Trename, d(1), d(ROOT), 'x'), EBUSY);
  assert.equal(client.errno(protocol.Tremove, d(1)), EBUSY);
  assert.equal(client.errno(protocol.Tattach, d(1), d(protocol.NOFID), '', '/etc', d(0)), ENOENT);
  assert.equal(client.errno(protocol.Tattach, d(1), d(5), '', '', d(0)), EINVAL);
});

test('requests whose fields lie about their length are refused, and change nothing', () => {
  const complete = encode(protocol.Tmkdir, 1, [d(ROOT), 'folder', d(0o755), d(0)]);
  for (let length = 7; length < complete.length; length++) {
    const cut = complete.slice(0, length);
    assert.equal(client.send(cut)?.error, EMSGSIZE, 'longer than it is');
    new DataView(cut.buffer).setUint32(0, length, true);
    assert.equal(client.send(cut)?.error, EPROTO, `without its end, ${length}`);
  }
  for (let length = 0; length < 7; length++) assert.equal(client.send(complete.slice(0, length)), undefined);
  for (const size of [0, 6, 2 ** 31, 2 ** 32 - 1]) {
    const other = complete.slice();
    new DataView(other.buffer).setUint32(0, size, true);
    assert.equal(client.send(other)?.error, EMSGSIZE);
  }
  client.walk(ROOT, 1);
  client.create(1, 'file', O_RDWR);
  for (const count of [2, 5, 2 ** 31, 2 ** 32 - 1]) {
    assert.equal(client.errno(protocol.Twrite, d(1), q(0), d(count), Buffer.from('x')), EPROTO);
  }
  assert.equal(client.errno(protocol.Twalk, d(ROOT), d(2), w(17), ...new Array(17).fill('..')), EPROTO);
  assert.equal(client.errno(protocol.Twalk, d(ROOT), d(2), w(16), ...new Array(15).fill('..')), EPROTO);
  assert.deepEqual(readdirSync(share), ['file']);
  assert.equal(readFileSync(join(share, 'file')).length, 0);
});

test('a write that lies over many pieces of memory is put together, and so is a read', () => {
  client.walk(ROOT, 1);
  client.create(1, 'file', O_RDWR);
  const pieces = (bytes: Uint8Array) => {
    const list = bytesList(bytes.subarray(0, 1));
    for (let i = 1; i < bytes.length; i++) list.add({ bytes, address: 0 }, i, 1);
    return list;
  };
  const answer = new Uint8Array(100);
  const data = Buffer.from('in many pieces');
  assert.equal(
    server.handle(pieces(encode(protocol.Twrite, 1, [d(1), q(0), d(data.length), data])), pieces(answer)),
    11,
  );
  assert.equal(readFileSync(join(share, 'file'), 'utf8'), 'in many pieces');
  assert.equal(server.handle(pieces(encode(protocol.Tread, 1, [d(1), q(3), d(50)])), pieces(answer)), 11 + 11);
  assert.equal(Buffer.from(answer.subarray(11, 22)).toString(), 'many pieces');
});

test('no answer is longer than its memory or the agreed size', () => {
  client.walk(ROOT, 1);
  client.create(1, 'file', O_RDWR);
  client.write(1, 0, Buffer.alloc(60_000, 'x'));
  client.write(1, 60_000, Buffer.alloc(60_000, 'x'));
  assert.equal(client.read(1, 0, 2 ** 32 - 1).length, MSIZE - protocol.READ_HEADER_SIZE);
  const read = encode(protocol.Tread, 1, [d(1), q(0), d(1000)]);
  assert.equal(client.send(read, 100)!.u32(), 100 - protocol.READ_HEADER_SIZE);
  assert.equal(client.send(read, 11)!.u32(), 0);
  for (let room = 0; room < 11; room++) assert.equal(client.send(read, room), undefined);
  const getattr = encode(protocol.Tgetattr, 1, [d(1), q(0)]);
  for (const room of [0, 10]) assert.equal(client.send(getattr, room), undefined);
  for (const room of [11, 159]) assert.equal(client.send(getattr, room)!.error, EMSGSIZE);
  assert.equal(client.send(getattr, 160)!.error, 0);
});

test('readdir into less than an entry is an error, not the end', () => {
  client.walk(ROOT, 1);
  client.open(1, O_RDONLY);
  for (const count of [0, 1, 24]) assert.equal(client.errno(protocol.Treaddir, d(1), q(0), d(count)), EINVAL);
  assert.equal(client.errno(protocol.Treaddir, d(1), q(0), d(2 ** 32 - 1)), 0);
  client.errno(protocol.Treaddir, d(1), q(2n ** 64n - 1n), d(100)); // whatever the file system says
});

test('sizes of messages: tiny ones are refused, huge ones cut', () => {
  for (const msize of [0, 7, 4095]) assert.equal(client.errno(protocol.Tversion, d(msize), '9P2000.L'), EMSGSIZE);
  assert.equal(client.ask(protocol.Tversion, d(2 ** 32 - 1), '9P2000.L').u32(), protocol.MAX_MSIZE);
  client.attach(ROOT);
  const huge = encode(protocol.Twalk, 1, [d(ROOT), d(1), w(16), ...new Array(16).fill('x'.repeat(60_000))]);
  assert.equal(client.send(huge)?.error, EMSGSIZE);
});

test('messages that nobody knows, and any before the version, are refused', () => {
  for (const type of [0, 6, 7, 9, 13, 99, 101, 106, 107, 112, 114, 124, 126, 255]) {
    assert.equal(client.errno(type), EOPNOTSUPP);
  }
  server.reset();
  assert.equal(client.errno(protocol.Tattach, d(ROOT), d(protocol.NOFID), '', '', d(0)), EPROTO);
  assert.equal(client.errno(protocol.Twalk, d(ROOT), d(1), w(0)), EPROTO);
  client.start(ROOT);
});

test('numbers beyond what the host has are refused', () => {
  client.walk(ROOT, 1);
  client.create(1, 'file', O_RDWR);
  const huge = [2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n];
  for (const offset of huge) {
    assert.equal(client.errno(protocol.Tread, d(1), q(offset), d(10)), EINVAL);
    assert.equal(client.errno(protocol.Twrite, d(1), q(offset), d(1), Buffer.from('x')), EFBIG);
    const size = [d(1), d(protocol.P9_SETATTR_SIZE), d(0), d(0), d(0), q(offset), q(0), q(0), q(0), q(0)] as const;
    assert.equal(client.errno(protocol.Tsetattr, ...size), EFBIG);
    assert.equal(client.errno(protocol.Txattrcreate, d(ROOT), 'user.x', q(offset), d(0)), ERANGE);
  }
  for (const offset of [2n ** 63n, 2n ** 64n - 1n]) {
    assert.equal(client.errno(protocol.Tlock, d(1), b(F_WRLCK), d(0), q(offset), q(1), d(1), 'h'), EINVAL);
    assert.equal(client.errno(protocol.Tlock, d(1), b(F_WRLCK), d(0), q(1), q(offset), d(1), 'h'), EINVAL);
    assert.equal(client.errno(protocol.Tgetlock, d(1), b(F_WRLCK), q(offset), q(0), d(1), 'h'), EINVAL);
  }
  assert.equal(client.errno(protocol.Tlock, d(1), b(3), d(0), q(0), q(0), d(1), 'h'), EINVAL);
  const longName = 'h'.repeat(65535);
  assert.equal(client.errno(protocol.Tversion, d(protocol.MAX_MSIZE), '9P2000.L'), 0);
  client.attach(ROOT);
  client.walk(ROOT, 1, 'file');
  client.open(1, O_RDWR);
  assert.equal(client.errno(protocol.Tgetlock, d(1), b(F_WRLCK), q(0), q(0), d(1), longName), ENAMETOOLONG);
  assert.equal(readFileSync(join(share, 'file')).length, 0);
});

test('extended attributes: what does not fit is refused, and what all fids have open is bounded', () => {
  client.walk(ROOT, 1);
  assert.equal(client.errno(protocol.Txattrcreate, d(1), 'user.x', q(65537), d(0)), ERANGE);
  client.ask(protocol.Txattrcreate, d(1), 'user.x', q(4), d(0));
  assert.equal(client.errno(protocol.Twrite, d(1), q(2), d(3), Buffer.from('xyz')), ENOSPC);
  assert.equal(client.errno(protocol.Twrite, d(1), q(2n ** 40n), d(1), Buffer.from('x')), ENOSPC);
  assert.equal(client.errno(protocol.Treaddir, d(1), q(0), d(100)), EBADF);
  client.write(1, 0, Buffer.from('four'));
  client.clunk(1);
  const opened: number[] = [];
  for (let fid = 10; fid < 1000; fid++) {
    client.walk(ROOT, fid);
    const errno = client.errno(protocol.Txattrcreate, d(fid), 'user.y', q(65536), d(0));
    if (errno !== 0) {
      assert.equal(errno, ENOMEM);
      break;
    }
    opened.push(fid);
  }
  assert.equal(opened.length, 256);
  for (const fid of opened) client.errno(protocol.Tclunk, d(fid)); // too long for the file system, or not
  client.walk(ROOT, 2);
  client.ask(protocol.Txattrcreate, d(2), 'user.z', q(65536), d(0));
});

test('nodes of devices and FIFOs of the host are not opened', () => {
  client.ask(protocol.Tmknod, d(ROOT), 'fifo', d(0o010666), d(0), d(0), d(0));
  client.ask(protocol.Tmknod, d(ROOT), 'socket', d(0o140666), d(0), d(0), d(0));
  for (const name of ['fifo', 'socket']) {
    for (const flags of [O_RDONLY, O_WRONLY, O_RDWR]) {
      client.walk(ROOT, 1, name);
      assert.equal(client.errno(protocol.Tlopen, d(1), d(flags)), ENXIO);
      client.clunk(1);
    }
  }
});

test('a host process that swaps a folder for a link meanwhile leads nobody out', () => {
  mkdirSync(join(share, 'sub'));
  writeFileSync(join(share, 'sub', 'secret'), 'inside');
  client.walk(ROOT, 1, 'sub');
  for (let i = 0; i < 500; i++) {
    renameSync(join(share, 'sub'), join(share, 'aside'));
    symlinkSync('..', join(share, 'sub'));
    checkSecret(client.call(protocol.Twalk, d(ROOT), d(2), w(2), 'sub', 'secret').error);
    checkSecret(client.call(protocol.Twalk, d(1), d(2), w(1), 'secret').error);
    rmSync(join(share, 'sub'));
    renameSync(join(share, 'aside'), join(share, 'sub'));
    checkSecret(client.call(protocol.Twalk, d(1), d(2), w(1), 'secret').error);
  }
});

/** What fid 2 leads to, if anywhere, is the file inside. */
function checkSecret(walked: number): void {
  if (walked !== 0 || client.errno(protocol.Tlopen, d(2), d(O_RDONLY)) !== 0) {
    client.errno(protocol.Tclunk, d(2));
    return;
  }
  assert.equal(Buffer.from(client.read(2)).toString(), 'inside');
  client.clunk(2);
}
