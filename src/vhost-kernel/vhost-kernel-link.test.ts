import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { EventFd } from '../base/event-fd.ts';
import type { VmAccess } from '../hypervisor/hypervisor.ts';
import { heapGuestMemory } from '../memory/guest-memory.ts';
import { INTERRUPT_LINE, NO_INTERRUPT, type QueueSetup } from '../pci/virtio-pci/virtio-link.ts';
import type { Offloads } from '../virtio/net/net-config.ts';
import type { VhostRequest } from './requests.ts';
import { createVhostKernelState, type VhostKernelHandle, VhostKernelLink } from './vhost-kernel-link.ts';

const VERSION_1 = 1n << 32n;
const EVENT_IDX = 1n << 29n;
const GUEST_CSUM = 1n << 1n;
const [DEVICE, TAP, ADDRESS] = [70, 71, 0x7000_0000_0000];
const QUEUES: readonly QueueSetup[] = [
  { index: 0, size: 8, desc: 0x1000, driver: 0x2000, device: 0x3000, interrupt: 1 },
  { index: 1, size: 16, desc: 0x1_0000_0000, driver: 0x5000, device: 0x6000, interrupt: INTERRUPT_LINE },
  { index: 2, size: 16, desc: 0x7000, driver: 0x8000, device: 0x9000, interrupt: NO_INTERRUPT },
];

let said: [VhostRequest, string][];
let offloads: Offloads[];
let mapped: string[];
const eventFd = () => EventFd.create().fd;
const wiring = {
  kicks: [eventFd(), eventFd(), eventFd()],
  vectors: [eventFd(), eventFd()],
  line: eventFd(),
  error: eventFd(),
};

beforeEach(() => {
  said = [];
  offloads = [];
  mapped = [];
});

/** Links of two threads to one device. */
function links(kernel: 'net' | 'vsock'): [VhostKernelLink, VhostKernelLink] {
  const memory = heapGuestMemory([
    { gpa: 0, size: 0x10_000 },
    { gpa: 0x1_0000_0000, size: 0x1000 },
  ]);
  const handle: VhostKernelHandle = {
    kernel,
    fd: DEVICE,
    tap: kernel === 'net' ? TAP : undefined,
    features: VERSION_1 | EVENT_IDX,
    config: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
    files: [{ fd: 8, gpa: 0x2_0000_0000, size: 0x2000 }],
    wiring,
    state: createVhostKernelState(),
  };
  const host = {
    ioctl(fd: number, request: VhostRequest, argument: Uint8Array) {
      assert.equal(fd, DEVICE);
      said.push([request, Buffer.from(argument).toString('hex')]);
    },
    map(fd: number, offset: number, length: number) {
      mapped.push(`map ${fd} ${offset} ${length}`);
      return ADDRESS + (fd === 8 ? 0x20_000 : 0) + offset;
    },
    unmap: (address: number, length: number) => void mapped.push(`unmap ${address - ADDRESS} ${length}`),
    setOffloads(fd: number, given: Offloads) {
      assert.equal(fd, TAP);
      offloads.push(given);
    },
  };
  const vm = { memory, memoryFd: 9 } as unknown as VmAccess;
  return [new VhostKernelLink(handle, vm, host), new VhostKernelLink(handle, vm, host)];
}

/** Numbers of 32 bits, and of 64 as BigInt, as they are in a struct. */
function struct(...numbers: (number | bigint)[]): string {
  return numbers
    .map((number) => {
      const bytes = typeof number === 'bigint' ? BigInt64Array.of(number) : Int32Array.of(number);
      return Buffer.from(bytes.buffer).toString('hex');
    })
    .join('');
}

const HOST = BigInt(ADDRESS);

test('a network card: features, memory, rings, and the TAP device last', () => {
  const [link] = links('net');
  link.start(VERSION_1 | GUEST_CSUM, QUEUES.slice(0, 2));
  const setUp = (index: number, size: number, desc: bigint, used: bigint, avail: bigint, call: number) => [
    ['VHOST_SET_VRING_NUM', struct(index, size)],
    ['VHOST_SET_VRING_BASE', struct(index, 0)],
    ['VHOST_SET_VRING_ADDR', struct(index, 0, HOST + desc, HOST + used, HOST + avail, 0n)],
    ['VHOST_SET_VRING_ERR', struct(index, wiring.error)],
    ['VHOST_SET_VRING_CALL', struct(index, call)],
    ['VHOST_SET_VRING_KICK', struct(index, wiring.kicks[index]!)],
  ];
  assert.deepEqual(said, [
    ['VHOST_SET_FEATURES', struct(VERSION_1)],
    [
      'VHOST_SET_MEM_TABLE',
      struct(3, 0, 0n, 0x10_000n, HOST, 0n, 0x1_0000_0000n, 0x1000n, HOST + 0x10_000n, 0n) +
        struct(0x2_0000_0000n, 0x2000n, HOST + 0x20_000n, 0n),
    ],
    ...setUp(0, 8, 0x1000n, 0x3000n, 0x2000n, wiring.vectors[1]!),
    ...setUp(1, 16, 0x10_000n, 0x6000n, 0x5000n, wiring.line),
    ['VHOST_NET_SET_BACKEND', struct(0, TAP)],
    ['VHOST_NET_SET_BACKEND', struct(1, TAP)],
  ]);
  assert.deepEqual(offloads, [{ checksum: true, tso4: false, tso6: false, ecn: false, ufo: false }]);
});

test('what one thread starts another one stops, once; memory is mapped once and given back', () => {
  const [one, other] = links('net');
  one.start(VERSION_1, QUEUES.slice(0, 2));
  said = [];
  other.stop();
  one.stop();
  assert.deepEqual(said, [
    ['VHOST_NET_SET_BACKEND', struct(0, -1)],
    ['VHOST_NET_SET_BACKEND', struct(1, -1)],
  ]);
  other.start(VERSION_1, QUEUES.slice(0, 2));
  assert.deepEqual(mapped, ['map 9 0 65536', 'map 9 65536 4096', 'map 8 0 8192']);
  one.close();
  other.close();
  assert.deepEqual(mapped.slice(3), ['unmap 0 65536', 'unmap 65536 4096', 'unmap 131072 8192']);
});

test('a socket device: the kernel runs two of its queues', () => {
  const [link] = links('vsock');
  link.stop();
  link.start(VERSION_1, QUEUES);
  assert.equal(said.filter(([name]) => name === 'VHOST_SET_VRING_NUM').length, 2);
  assert.deepEqual(said.at(-1), ['VHOST_VSOCK_SET_RUNNING', struct(1)]);
  said = [];
  link.stop();
  assert.deepEqual(said, [['VHOST_VSOCK_SET_RUNNING', struct(0)]]);
});

test('interrupts, kicks, and the configuration', () => {
  const [link] = links('vsock');
  link.setInterrupt(1, 0);
  link.setInterrupt(0, NO_INTERRUPT);
  link.setInterrupt(2, 0);
  assert.deepEqual(said, [
    ['VHOST_SET_VRING_CALL', struct(1, wiring.vectors[0]!)],
    ['VHOST_SET_VRING_CALL', struct(0, -1)],
  ]);
  link.kick(2);
  assert.equal(new EventFd(wiring.kicks[2]!).clear(), 1);
  const config = new Uint8Array(8);
  link.readConfig(config);
  link.writeConfig();
  assert.deepEqual([...config], [1, 2, 3, 4, 5, 6, 7, 8]);
  assert.equal(link.isGone(), false);
  assert.throws(() => link.restart(), { code: 'E_VHOST' });
});

test('a ring that is not in guest memory is refused', () => {
  const [link] = links('net');
  assert.throws(() => link.start(VERSION_1, [{ ...QUEUES[0]!, desc: 0x3_0000_0000 }]), { code: 'E_VHOST' });
});
