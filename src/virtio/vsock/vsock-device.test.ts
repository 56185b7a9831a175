import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ScatterList } from '../../memory/scatter-list.ts';
import { DeviceHarness } from '../testing/device-harness.ts';
import { RING_FORMATS, type RingFormat } from '../testing/mock-guest.ts';
import { HEADER_SIZE, VsockHeader } from './packet.ts';
import { BUFFER_SIZE } from './vsock-connection.ts';
import { VsockDevice } from './vsock-device.ts';
import type { VsockHost, VsockStream } from './vsock-host.ts';

const EPOLLIN = 1;
const EPOLLOUT = 4;
const CID = 3;
const [RECEIVE, TRANSMIT] = [0, 1];
const [REQUEST, RESPONSE, RST, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST] = [1, 2, 3, 4, 5, 6, 7];
const LISTEN_FD = 999;

const bytes = (value: string) => new TextEncoder().encode(value);
const text = (value: Uint8Array) => new TextDecoder().decode(value);

class FakeStream implements VsockStream {
  readonly fd: number;
  /** What is there to read; undefined is the end. */
  readonly input: (string | undefined)[] = [];
  output = '';
  room = Number.POSITIVE_INFINITY;
  broken = false;
  ended = false;
  closed = 0;

  constructor(fd: number) {
    this.fd = fd;
  }

  read(list: ScatterList): number {
    if (this.input.length === 0) return -1;
    const next = this.input.shift();
    if (next === undefined) return 0;
    const n = list.copyFrom(bytes(next));
    if (n < next.length) this.input.unshift(next.slice(n));
    return n;
  }

  write(list: ScatterList, from: number): number {
    if (this.broken) throw new Error('EPIPE');
    if (this.room === 0) return -1;
    const part = new Uint8Array(Math.min(this.room, list.length - from));
    list.copyTo(part, from);
    this.output += text(part);
    this.room -= part.length;
    return part.length;
  }

  endWriting(): void {
    this.ended = true;
  }

  close(): void {
    this.closed++;
  }
}

class FakeHost implements VsockHost {
  readonly listenFd = LISTEN_FD;
  readonly streams: FakeStream[] = [];
  readonly arriving: FakeStream[] = [];

  /** Only even ports have a service. */
  connect(port: number): VsockStream | undefined {
    if (port % 2 === 1) return undefined;
    const stream = new FakeStream(2000 + this.streams.length);
    this.streams.push(stream);
    return stream;
  }

  accept(): VsockStream | undefined {
    return this.arriving.shift();
  }

  close(): void {}
}

interface Packet {
  readonly op: number;
  readonly srcPort?: number;
  readonly dstPort?: number;
  readonly srcCid?: number;
  readonly dstCid?: number;
  readonly type?: number;
  readonly flags?: number;
  readonly bufAlloc?: number;
  readonly fwdCnt?: number;
  readonly len?: number;
  readonly data?: string;
}

function setUp(format: RingFormat) {
  const host = new FakeHost();
  const device = new VsockDevice(CID, host);
  const harness = new DeviceHarness(device, format);
  const rooms = (count: number, size = 4096) => {
    for (let i = 0; i < count; i++) harness.drivers[RECEIVE]!.add({ writable: [HEADER_SIZE, size] });
    harness.kick(RECEIVE);
  };
  const send = ({ data = '', ...fields }: Packet) => {
    const header = new VsockHeader();
    const defaults = { srcCid: CID, dstCid: 2, type: 1, srcPort: 1000, dstPort: 80, bufAlloc: 4096, len: data.length };
    Object.assign(header, defaults, fields);
    return harness.tryRequest(TRANSMIT, { readable: [header.bytes.slice(), bytes(data)] });
  };
  /** What the guest has heard: operations with their flags, and data. */
  const heard = () => {
    const all: string[] = [];
    for (let got = harness.drivers[RECEIVE]!.take(); got !== undefined; got = harness.drivers[RECEIVE]!.take()) {
      const header = new VsockHeader();
      header.bytes.set(got.data.subarray(0, HEADER_SIZE));
      assert.equal(got.written, HEADER_SIZE + header.len);
      assert.deepEqual([header.srcCid, header.dstCid, header.type], [2, CID, 1]);
      const data = text(got.data.subarray(HEADER_SIZE, got.written));
      all.push(`${header.srcPort}>${header.dstPort} ${header.op} ${header.flags || ''}${data}`.trim());
    }
    return all;
  };
  return { host, device, harness, rooms, send, heard };
}

for (const format of RING_FORMATS) {
  test(`${format}: a guest connects, talks, listens, and ends`, () => {
    const { host, harness, rooms, send, heard } = setUp(format);
    rooms(8);
    send({ op: REQUEST });
    assert.deepEqual(heard(), ['80>1000 2']);
    const [stream] = host.streams;
    send({ op: RW, data: 'hello' });
    assert.equal(stream!.output, 'hello');
    stream!.input.push('answer');
    harness.ready(2000, EPOLLIN);
    assert.deepEqual(heard(), ['80>1000 5 answer']);
    send({ op: SHUTDOWN, flags: 2 });
    assert.equal(stream!.ended, true);
    stream!.input.push('last', undefined);
    harness.ready(2000, EPOLLIN);
    assert.deepEqual(heard(), ['80>1000 5 last', '80>1000 3']);
    assert.equal(stream!.closed, 1);
    assert.deepEqual(harness.watched, [LISTEN_FD]);
  });

  test(`${format}: the host ends first`, () => {
    const { host, harness, rooms, send, heard } = setUp(format);
    rooms(8);
    send({ op: REQUEST });
    host.streams[0]!.input.push(undefined);
    harness.ready(2000, EPOLLIN);
    assert.deepEqual(heard(), ['80>1000 2', '80>1000 4 2']);
    // Nobody waits for a stream that has ended.
    assert.deepEqual(harness.watched, [LISTEN_FD]);
    send({ op: RW, data: 'still here' });
    assert.equal(host.streams[0]!.output, 'still here');
    send({ op: SHUTDOWN, flags: 3 });
    assert.deepEqual(heard(), ['80>1000 3']);
    assert.equal(host.streams[0]!.closed, 1);
    send({ op: RST });
    assert.deepEqual(heard(), []);
  });

  test(`${format}: a program of the host connects to the guest`, () => {
    const { host, harness, rooms, send, heard } = setUp(format);
    rooms(8);
    const stream = new FakeStream(3000);
    host.arriving.push(stream);
    harness.ready(LISTEN_FD, EPOLLIN);
    stream.input.push('CONN');
    harness.ready(3000, EPOLLIN);
    stream.input.push('ECT 52\nand more');
    harness.ready(3000, EPOLLIN);
    const [request] = heard();
    assert.equal(request, `${0x4000_0000}>52 1`);
    send({ op: RESPONSE, srcPort: 52, dstPort: 0x4000_0000 });
    assert.equal(stream.output, `OK ${0x4000_0000}\n`);
    harness.ready(3000, EPOLLIN);
    assert.deepEqual(heard(), [`${0x4000_0000}>52 5 and more`]);
    send({ op: RW, srcPort: 52, dstPort: 0x4000_0000, data: 'x'.repeat(1000) });
    assert.equal(stream.output.length, 1014);
  });

  test(`${format}: nothing is sent that the guest has no room for`, () => {
    const { host, harness, rooms, send, heard } = setUp(format);
    rooms(8);
    send({ op: REQUEST, bufAlloc: 10 });
    host.streams[0]!.input.push('0123456789abcdef');
    harness.ready(2000, EPOLLIN);
    assert.deepEqual(heard(), ['80>1000 2', '80>1000 5 0123456789']);
    assert.deepEqual(harness.watched, [LISTEN_FD]);
    send({ op: CREDIT_UPDATE, bufAlloc: 10, fwdCnt: 4 });
    assert.equal(harness.watchedEvents(2000), EPOLLIN);
    harness.ready(2000, EPOLLIN);
    assert.deepEqual(heard(), ['80>1000 5 abcd']);
    // A count that is ahead of what was sent, and one of a buffer that shrinks.
    send({ op: CREDIT_UPDATE, bufAlloc: 10, fwdCnt: 1000 });
    send({ op: CREDIT_UPDATE, bufAlloc: 0, fwdCnt: 4 });
    assert.deepEqual(harness.watched, [LISTEN_FD]);
    send({ op: CREDIT_UPDATE, bufAlloc: 100, fwdCnt: 14 });
    harness.ready(2000, EPOLLIN);
    assert.deepEqual(heard(), ['80>1000 5 ef']);
  });

  test(`${format}: what the host does not take waits, and the guest hears when there is room`, () => {
    const { host, harness, rooms, send, heard } = setUp(format);
    rooms(8);
    send({ op: REQUEST });
    const [stream] = host.streams;
    stream!.room = 0;
    const part = 'y'.repeat(16384);
    for (let i = 0; i < BUFFER_SIZE / part.length; i++) send({ op: RW, data: part });
    assert.equal(harness.watchedEvents(2000), EPOLLIN | EPOLLOUT);
    assert.deepEqual(heard(), ['80>1000 2']);
    stream!.room = BUFFER_SIZE / 2;
    harness.ready(2000, EPOLLOUT);
    assert.deepEqual(heard(), ['80>1000 6']);
    send({ op: RW, data: 'z' });
    stream!.room = Number.POSITIVE_INFINITY;
    harness.ready(2000, EPOLLOUT);
    assert.equal(stream!.output.length, BUFFER_SIZE + 1);
    assert.equal(stream!.output.at(-1), 'z');
    assert.equal(harness.watchedEvents(2000), EPOLLIN);
  });

  test(`${format}: a guest that sends more than it may loses its connection`, () => {
    const { host, rooms, send, heard } = setUp(format);
    rooms(8);
    send({ op: REQUEST });
    host.streams[0]!.room = 0;
    for (let i = 0; i < 8; i++) send({ op: RW, data: 'y'.repeat(BUFFER_SIZE / 8) });
    send({ op: RW, data: '1' });
    assert.deepEqual(heard(), ['80>1000 2', '80>1000 3']);
    assert.equal(host.streams[0]!.closed, 1);
  });

  test(`${format}: packets that do not belong anywhere are refused, or nothing at all`, () => {
    const { host, harness, rooms, send, heard } = setUp(format);
    rooms(20);
    const refused: Packet[] = [
      { op: REQUEST, dstPort: 81 },
      { op: RW, data: 'x' },
      { op: RESPONSE },
      { op: 99 },
      { op: REQUEST, dstCid: 7 },
      { op: REQUEST, type: 2 },
      { op: REQUEST, len: 5 },
    ];
    for (const packet of refused) {
      send(packet);
      assert.deepEqual(heard(), [`${packet.dstPort ?? 80}>1000 3`]);
    }
    send({ op: RST });
    send({ op: REQUEST, srcCid: 4 });
    send({ op: REQUEST, srcCid: 2 ** 52 });
    harness.request(TRANSMIT, { readable: [new Uint8Array(HEADER_SIZE - 1)] });
    harness.request(TRANSMIT, { writable: [100] });
    assert.deepEqual(heard(), []);
    assert.equal(host.streams.length, 0);
  });

  test(`${format}: what breaks the rules of a connection ends it`, () => {
    const bad: Packet[][] = [
      [{ op: REQUEST }],
      [{ op: RESPONSE }],
      [{ op: 99 }],
      [{ op: 0 }],
      [{ op: RW, data: 'x', len: 0xffff_ffff }],
      [{ op: RW, data: 'x', type: 5 }],
      [
        { op: SHUTDOWN, flags: 2 },
        { op: RW, data: 'x' },
      ],
    ];
    for (const packets of bad) {
      const { host, rooms, send, heard } = setUp(format);
      rooms(8);
      send({ op: REQUEST });
      for (const packet of packets) send(packet);
      assert.deepEqual(heard(), ['80>1000 2', '80>1000 3'], JSON.stringify(packets));
      assert.equal(host.streams[0]!.closed, 1);
    }
  });

  test(`${format}: a host that is gone, and a flood of packets without room for answers`, () => {
    const { host, device, harness, rooms, send, heard } = setUp(format);
    send({ op: REQUEST });
    host.streams[0]!.broken = true;
    send({ op: RW, data: 'x' });
    rooms(2);
    assert.deepEqual(heard(), ['80>1000 3']);
    rooms(0);
    let answered = 0;
    for (let i = 0; i < 270; i++) if (send({ op: RW, srcPort: i }) !== undefined) answered++;
    // The first refusal found room.
    assert.equal(answered, 257);
    for (let i = 0; i < 10; i++) {
      rooms(30, 8);
      heard();
    }
    while (harness.drivers[TRANSMIT]!.take() !== undefined) answered++;
    assert.equal(answered, 270);
    device.reset();
    assert.deepEqual(heard(), []);
  });

  test(`${format}: as many connections as there may be, and a reset ends them all`, () => {
    const { host, device, rooms, send, heard } = setUp(format);
    for (let i = 0; i < 600; i++) {
      send({ op: REQUEST, srcPort: i });
      rooms(1, 8);
      assert.deepEqual(heard(), [i < 512 ? `80>${i} 2` : `80>${i} 3`]);
    }
    device.reset();
    assert.ok(host.streams.every(({ closed }) => closed === 1));
    assert.equal(host.streams.length, 512);
  });

  test(`${format}: a credit request is answered; buffers too small for a header are given back`, () => {
    const { harness, rooms, send, heard } = setUp(format);
    const small = harness.drivers[RECEIVE]!.add({ writable: [10] });
    send({ op: REQUEST });
    assert.deepEqual([small, 0], [harness.drivers[RECEIVE]!.take()!.id, 0]);
    rooms(4);
    send({ op: CREDIT_REQUEST });
    assert.deepEqual(heard(), ['80>1000 2', '80>1000 6']);
  });

  test(`${format}: programs of the host that talk nonsense are sent away`, () => {
    const { host, harness, rooms, heard } = setUp(format);
    rooms(4);
    const lines = [
      'CONNECT\n',
      'CONNECT -1\n',
      'CONNECT 4294967296\n',
      'GET / HTTP/1.1\r\n',
      'x'.repeat(100),
      undefined,
    ];
    for (const line of lines) {
      const stream = new FakeStream(3000);
      host.arriving.push(stream);
      harness.ready(LISTEN_FD, EPOLLIN);
      stream.input.push(line);
      harness.ready(3000, EPOLLIN);
      assert.equal(stream.closed, 1, line ?? 'end');
    }
    const silent = Array.from({ length: 65 }, (_, i) => new FakeStream(4000 + i));
    for (const stream of silent) {
      host.arriving.push(stream);
      harness.ready(LISTEN_FD, EPOLLIN);
    }
    assert.equal(silent.filter(({ closed }) => closed === 1).length, 1);
    assert.deepEqual(heard(), []);
  });
}
