/** Networking without privileges, through passt: under our VMM, and as a device by hand. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { resolve4 } from 'node:dns/promises';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { GuestFile } from '../tools/initramfs.ts';
import { freePort } from './free-port.ts';
import { CROSVM, finish, finishProgram } from './linux-guest.ts';
import { DeviceProcess } from './qemu-guest.ts';
import { print, rom } from './rom.ts';
import { until } from './until.ts';
import { missingProgram, runVirtioGuest } from './virtio-guest.ts';

const skip = missingProgram('passt') ?? false;
const folder = mkdtempSync(join(tmpdir(), 'crosvm-user-network-'));
after(() => rmSync(folder, { recursive: true }));

/** What busybox's DHCP client does with what it was told. */
const DHCP_SCRIPT = `#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add "$ip/$mask" dev "$interface"
ip route add default via "$router" dev "$interface"
echo "$router" >router
for server in $dns; do echo "nameserver $server"; done >/etc/resolv.conf
`;
const HEARD_SCRIPT = '#!/bin/sh\ntouch /root/heard\nprintf "\\r\\n"\n';
const files = [script('dhcp', DHCP_SCRIPT), script('cgi', HEARD_SCRIPT)];

const DHCP =
  'mkdir -p /etc; ip link set lo up; ip link set eth0 up; udhcpc -i eth0 -n -q -s ./dhcp >/dev/null 2>&1; ip route | grep -c default';
/** A server, which says when it was heard. */
const HTTPD = 'echo hello from the guest >index.html; mkdir cgi-bin; mv cgi cgi-bin/heard; httpd -p 7000 -h .';
const UNTIL_HEARD = 'while ! [ -e heard ]; do sleep 1; done';

const megabytes = Buffer.concat(new Array(32).fill(crypto.getRandomValues(new Uint8Array(65536))));
const DIGEST = `${createHash('sha256').update(megabytes).digest('hex')}  -\n`;

function script(name: string, text: string): GuestFile {
  return { name, data: new TextEncoder().encode(text), executable: true };
}

/** A server of the host, on its loopback interface. */
async function hostServer(onRequest: (request: IncomingMessage) => void = () => {}): Promise<[Server, number]> {
  const server = createServer((request, response) => {
    onRequest(request);
    response.end(megabytes);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return [server, (server.address() as AddressInfo).port];
}

/** What the guest's server has, once it answers; says that it was heard. */
async function served(port: number): Promise<string> {
  const get = (path: string) => fetch(`http://127.0.0.1:${port}/${path}`, { signal: AbortSignal.timeout(5000) });
  for (let left = 200; ; left--) {
    try {
      const text = await (await get('index.html')).text();
      await get('cgi-bin/heard');
      return text;
    } catch (error) {
      if (left === 0) throw error;
      await sleep(200);
    }
  }
}

/** Numbers of the processes of which a file of /proc, with spaces for NULs, is like this. */
function processes(file: string, pattern: RegExp): number[] {
  const isSuch = (pid: string) => {
    try {
      return pattern.test(readFileSync(`/proc/${pid}/${file}`, 'latin1').replaceAll('\0', ' '));
    } catch {
      return false; // gone
    }
  };
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && isSuch(name))
    .map(Number);
}

/** The processes of passt that forward this port of the host. */
function passts(port: number): number[] {
  return processes('cmdline', new RegExp(`^passt.* 127\\.0\\.0\\.1/${port}:7000 `));
}

/** The process of the network card of the VM that forwards this port of the host: a child of a child of the VMM. */
function cards(port: number): number[] {
  const vmms = processes('cmdline', new RegExp(` run .*forward=${port}:7000`));
  const children = (parents: number[]) => processes('status', new RegExp(`^PPid:\t(${parents.join('|')})$`, 'm'));
  const isCard = new Set(processes('comm', /^net device$/m));
  return children(children(vmms)).filter((pid) => isCard.has(pid));
}

/** A name that the host finds by DNS, if it does: where its packages come from, or one that is there for examples. */
async function knownName(): Promise<string | undefined> {
  for (const name of [...packageServers(), 'example.com']) {
    const found = await resolve4(name).then(
      () => true,
      () => false,
    );
    if (found) return name;
  }
  return undefined;
}

function packageServers(): string[] {
  const folder = '/etc/apt';
  if (!existsSync(folder)) return [];
  const lists = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    /\.(list|sources)$/.test(name),
  );
  const texts = lists.map((name) => readFileSync(join(folder, name), 'utf8'));
  return texts.flatMap((text) => [...text.matchAll(/^[^#\n]*\bhttps?:\/\/([\w.-]+)/gm)].map(([, host]) => host!));
}

/** Whether passt, which as root makes itself nobody, may send pings (ping_group_range of icmp(7)). */
function mayPing(): boolean {
  const [first, last] = readFileSync('/proc/sys/net/ipv4/ping_group_range', 'latin1').split(/\s+/).map(Number);
  const group = process.getuid!() === 0 ? 65534 : process.getgid!();
  return first! <= group && group <= last!;
}

test('by hand', { skip }, async () => {
  const [server, port] = await hostServer();
  const forwarded = await freePort();
  const device = await DeviceProcess.start(join(folder, 'user'), [
    ...['net', '--user', '--forward', `${forwarded}:7000`],
  ]);
  const heard = once(server, 'request').then(() => served(forwarded));
  const { outputs } = await runVirtioGuest(
    ['--vhost-user', `type=net,socket=${device.socket}`],
    [DHCP, `timeout 40 wget -q -O - http://$(cat router):${port}/ | sha256sum`, `${HTTPD}; ${UNTIL_HEARD}`],
    { files },
  );
  server.close();
  assert.equal((await device.end()).status, 0);
  assert.deepEqual([outputs[0]!.output, outputs[1]!.output], ['1\n', DIGEST]);
  assert.equal(await heard, 'hello from the guest\n');
  await until(() => passts(forwarded).length === 0, 'passt ends');
});

for (const where of ['a process', 'a thread']) {
  test(`as ${where} of a VM`, { skip }, async (t) => {
    const isProcess = where === 'a process';
    const forwarded = await freePort();
    const [server, port] = await hostServer(({ url }) => {
      if (url === '/kill-passt') for (const pid of passts(forwarded)) process.kill(pid, 'SIGKILL');
      if (url === '/kill-card') for (const pid of cards(forwarded)) process.kill(pid, 'SIGKILL');
    });
    const heard: string[] = [];
    const name = await knownName();
    if (name === undefined) t.diagnostic('the host finds no names by DNS, so neither does the guest');
    if (!mayPing()) t.diagnostic('passt may not send pings here');
    server.on('request', ({ url }) => {
      if (url === '/heard') void served(forwarded).then((text) => heard.push(text));
    });
    const get = (path: string) => `timeout 10 wget -q -O - http://$(cat router):${port}/${path}`;
    const comesBack = (what: string) =>
      `rm heard; timeout 3 wget -q http://$(cat router):${port}/kill-${what}
      until ${get('heard')} >copy && sha256sum <copy | grep -q ^${DIGEST.slice(0, 64)}; do sleep 1; done; ${UNTIL_HEARD}`;
    const { finished, outputs } = await runVirtioGuest(
      [
        ...(isProcess ? [] : ['--disable-sandbox']),
        ...['--net', `user,forward=${forwarded}:7000,mac=02:00:00:00:4d:2a`],
      ],
      [
        DHCP,
        'cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu',
        `${HTTPD}; ${get('heard')} | sha256sum; ${UNTIL_HEARD}`,
        name === undefined ? 'true' : `nslookup ${name} >/dev/null`,
        mayPing() ? 'ping -c 2 $(cat router) >/dev/null' : 'true',
        comesBack('passt'),
        isProcess ? comesBack('card') : 'true',
      ],
      { files },
    );
    server.close();
    const said = `${finished.console.slice(-2000)}\n${finished.stderr}`;
    assert.equal(outputs[0]?.output, '1\n', said);
    assert.equal(outputs[1]!.output, `02:00:00:00:4d:2a\n65520\n`);
    assert.equal(outputs[2]!.output, DIGEST);
    assert.deepEqual(
      outputs.slice(2).map(({ status }) => status),
      [0, 0, 0, 0, 0],
      said,
    );
    assert.deepEqual([...new Set(heard)], ['hello from the guest\n']);
    assert.match(finished.stderr, /the network card: the program at the other end of its network has gone\n/);
    assert.match(finished.stderr, /the network card has ended \(exit status 1\) and is started again\n/);
    if (isProcess) assert.match(finished.stderr, /has ended \(killed by SIGKILL\) and is started again\n/);
    await until(() => passts(forwarded).length === 0, 'passt ends');
  });
}

test('passt does not outlive its VM, however that ends', { skip }, async () => {
  const path = join(folder, 'waiting');
  writeFileSync(path, rom(print('up\n'))); // then it waits for ever
  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    for (const where of [[], ['--disable-sandbox']]) {
      const port = await freePort();
      const words = ['run', '--hypervisor', 'soft', '-m', '16', ...where, '--net', `user,forward=${port}:7000`];
      const vmm = spawn(process.execPath, [CROSVM, ...words, '--bios', path]);
      await once(vmm.stdout, 'data');
      assert.equal(passts(port).length, 1);
      vmm.kill(signal);
      await once(vmm, 'exit');
      await until(() => passts(port).length === 0, `passt ends after ${signal}`);
    }
  }
});

test('what cannot be is refused with one line', async () => {
  const path = join(folder, 'rom');
  writeFileSync(path, rom(print('up\n')));
  const words = ['run', '--hypervisor', 'soft', '-m', '16', '--bios', path, '--net'];
  const env = ['env', `PATH=${folder}`, process.execPath, CROSVM];
  const missing = await finishProgram(env[0]!, [...env.slice(1), ...words, 'user']);
  assert.match(missing.stderr, /^crosvm: run: the network card: .*passt is not installed \(apt install passt\)\n$/);
  assert.equal(missing.status, 1);
  if (skip !== false) return;
  const [server, port] = await hostServer();
  const taken = await finish(CROSVM, [...words, `user,forward=${port}:7000`]);
  server.close();
  assert.match(taken.stderr, new RegExp(`^crosvm: run: the network card: .*passt: .*${port}.*\\n$`));
  assert.equal(taken.status, 1);
  assert.deepEqual(passts(port), []);
});
