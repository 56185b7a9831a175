/** Jails as they are: what /proc says of device processes. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { closeAll } from '../../base/fd.ts';
import { IoUring } from '../../base/io-uring.ts';
import { makeTap } from '../../base/tap.ts';
import { streamPair } from '../../base/unix-stream.ts';
import { serialSyntax } from '../../cli/options/serial.ts';
import { NO_TRUST } from '../../disk/image-trust.ts';
import { createOwnDevice } from './create-own-device.ts';
import { keeping, type OwnDevice } from './own-device.ts';
import type { OwnSource } from './own-source.ts';
import { devicePids, launch, WAYS, withLauncher } from './testing/jailed.ts';
import { endDevice } from './testing/launch.ts';

const folder = mkdtempSync(join(tmpdir(), 'jail-'));
after(() => rmSync(folder, { recursive: true }));
const image = join(folder, 'disk.img');
writeFileSync(image, Buffer.alloc(65536));

const DISK = {
  ...{ path: image, writable: true, sparse: true, blockSize: 512, id: '', queues: 1, direct: false, lock: true },
  trust: NO_TRUST,
} as const;
const ring = IoUring.open(1);
ring?.close();
const RNG = { kind: 'plain', spec: { type: 'rng' } } as const;

/** Devices, what of theirs is open in their jail, and how many threads they may have. */
interface Case {
  readonly own: () => OwnDevice;
  readonly opens: readonly RegExp[];
  readonly threads?: number;
  /** Why it cannot be tested. */
  readonly skip?: string | undefined;
}
const from = (source: OwnSource) => () => createOwnDevice(source);
const CASES: Readonly<Record<string, Case>> = {
  rng: { own: from(RNG), opens: [] },
  block: { own: from({ kind: 'disk', disk: DISK }), opens: [/disk\.img$/] },
  'block with io_uring': {
    own: from({ kind: 'disk', disk: { ...DISK, executor: 'uring' } }),
    opens: [/disk\.img$/, /io_uring/, /eventfd/],
    threads: 64,
    skip: ring === undefined ? 'there is no io_uring' : undefined,
  },
  'block with an overlay': {
    own: from({ kind: 'disk', disk: { ...DISK, overlay: { kind: 'temporary' } } }),
    opens: [/disk\.img$/, /\(deleted\)$/],
  },
  balloon: {
    own: from({ kind: 'balloon', spec: { type: 'balloon', deflateOnOom: true, pageReporting: false, size: 0 } }),
    opens: [],
  },
  console: {
    own: from({
      kind: 'console',
      port: serialSyntax.parse(`hardware=virtio-console,type=file,path=${join(folder, 'out')}`),
    }),
    opens: [/\/out$/],
  },
  'net on a TAP device': {
    own: from({ kind: 'tap', card: { type: 'net' }, tap: { name: 'crosvmtest%d', pairs: 2 } }),
    opens: [/tun$/, /tun$/],
    skip: whyNoTap(),
  },
  'net on a socket': {
    own() {
      const [wire, other] = streamPair();
      const close = () => {
        wire.close();
        other.close();
      };
      return { give: async () => keeping({ type: 'net', wire: { kind: 'stream', fd: wire.fd } }), close };
    },
    opens: [/^socket:/],
  },
  vsock: { own: from({ kind: 'vsock', cid: 3, path: join(folder, 'vsock') }), opens: [/^socket:/] },
};

function whyNoTap(): string | undefined {
  try {
    closeAll(makeTap('crosvmtest%d', 1));
    return undefined;
  } catch (error) {
    return `no TAP device can be made here: ${(error as Error).message}`;
  }
}

const NAMESPACES = ['user', 'pid', 'mnt', 'net', 'ipc', 'uts'];

for (const { way, options } of WAYS) {
  for (const [name, { own, opens, threads = 0, skip }] of Object.entries(CASES)) {
    test(
      `the jail of a ${way} ${name} device`,
      { skip: skip ?? false },
      withLauncher(options, {}, async (launcher) => {
        const device = own();
        const given = await device.give(true);
        const { spec } = given;
        const launched = await launch(launcher, spec);
        given[Symbol.dispose]();
        device.isUp?.();
        const [pid, ...others] = devicePids();
        assert.deepEqual(others, []);
        checkStatus(pid!, `${spec.type} device`, way === 'forked');
        for (const namespace of NAMESPACES) {
          assert.notEqual(
            readlinkSync(`/proc/${pid}/ns/${namespace}`),
            readlinkSync(`/proc/self/ns/${namespace}`),
            namespace,
          );
        }
        assert.deepEqual(readdirSync(`/proc/${pid}/root`), spec.type === 'vsock' ? [folder.split('/')[1]] : []);
        assert.equal(readlinkSync(`/proc/${pid}/cwd`), '/');
        checkDescriptors(pid!, opens);
        const limits = readFileSync(`/proc/${pid}/limits`, 'utf8');
        assert.match(limits, new RegExp(`^Max processes +${threads} +${threads} `, 'm'));
        assert.match(limits, /^Max core file size +0 +0 /m);
        assert.match(limits, /^Max open files +1024 +1024 /m);
        assert.equal(await endDevice(launched), 'exit status 0');
        device.close();
      }),
    );
  }
}

function checkStatus(pid: number, name: string, isAlone: boolean): void {
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const status = readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8');
    const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1];
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) assert.match(field(set)!, /^0+$/, set);
    assert.deepEqual([field('Seccomp'), field('NoNewPrivs')], ['2', '1']);
    if (task !== String(pid)) continue;
    assert.equal(field('Name'), name);
    assert.match(field('NSpid')!, /\t1$/);
    if (isAlone) assert.equal(field('Threads'), '1');
  }
}

function checkDescriptors(pid: number, opens: readonly RegExp[]): void {
  const fds = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
  // Messages, front end, orders; then its own files and what it waits with.
  for (const pattern of [/^socket:/, /^socket:/, /^socket:/, ...opens, /eventpoll/]) {
    const at = fds.findIndex((link) => pattern.test(link));
    assert.notEqual(at, -1, `${pattern} is not open`);
    fds.splice(at, 1);
  }
  // Nothing, twice and wherever V8 would write to; and the other end of what the front end has given it for requests.
  const others = fds.filter((link) => link !== '/dev/null');
  assert.ok(others.length <= 1 && others.every((link) => link.startsWith('socket:')), `${fds}`);
}
