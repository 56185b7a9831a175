/** What a guest that has come up is asked to do, and what it must answer. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';

export interface GuestCommand {
  readonly name: string;
  readonly command: string;
  /** Throws if the output is not what it must be. The command's exit status was 0. */
  check(output: string): void;
}

/** What kernel and programs are for, as uname calls it. */
export type Machine = 'x86_64' | 'i686';

const numbers = Array.from({ length: 20_000 }, (_, i) => `${i + 1}\n`).join('');
const digest = (algorithm: string) => createHash(algorithm).update(numbers).digest('hex');

/** Of the kernel's own log: signs that something went wrong which did not stop the boot. */
const COMPLAINTS =
  /BUG\b|Oops|WARNING: CPU|unchecked MSR|soft lockup|rcu.*stall|Call Trace|invalid opcode|nobody cared/;

function parseRows(output: string): number[][] {
  const lines = output.trimEnd().split('\n');
  return lines.map((line) => line.split(' ').map(Number));
}

/** The same operations on the same doubles in the same order: equal to the last bit. */
function expectedSeries(): number[][] {
  const state = { factor: 1, e: 0, p: 0, root: 1 };
  return Array.from({ length: 200 }, (_, index) => {
    const i = index + 1;
    state.factor /= i;
    state.e += state.factor;
    state.p += (1 - (i % 2) * 2) / (1 - 2 * i);
    state.root = (state.root + 2 / state.root) / 2;
    return [state.e, state.p, state.root];
  });
}

/** Runs first: what the kernel still has to say would stand in the middle of what the commands print. */
const QUIET: GuestCommand = { name: 'the kernel can be told to be quiet', command: 'dmesg -n 1', check() {} };

/** Flags of /proc/cpuinfo: of every kernel, and of 64-bit ones. */
const CPU_FLAGS = ['fpu', 'tsc', 'cx8', 'apic', 'sep', 'mmx', 'fxsr', 'sse', 'sse2', 'lm', 'hypervisor'];
const CPU_FLAGS_64 = ['syscall', 'nx'];

/** What depends on whether kernel and programs are for 64 or 32 bits. */
function machineCommands(machine: Machine): readonly GuestCommand[] {
  return [
    {
      name: 'uname',
      command: 'uname -srm',
      check: (output) => assert.match(output, new RegExp(`^Linux 6\\.\\d+\\.\\S+ ${machine}\\n$`)),
    },
    {
      name: 'the processor that the kernel sees',
      command: 'cat /proc/cpuinfo',
      check(output) {
        assert.deepEqual(output.match(/^processor\t: \d+$/gm), ['processor\t: 0']);
        const flags = /^flags\t\t: (.*)$/m.exec(output)?.[1]?.split(' ') ?? [];
        const expected = [...CPU_FLAGS, ...(machine === 'x86_64' ? CPU_FLAGS_64 : [])];
        for (const flag of expected) assert.ok(flags.includes(flag), `no ${flag} in ${flags.join(' ')}`);
      },
    },
    {
      name: 'floating point in awk',
      // Series for e and pi / 4, and the square root of 2 by Newton's method.
      command:
        "awk 'BEGIN { r = f = 1; for (i = 1; i <= 200; i++) { f /= i; e += f; p += (1 - i % 2 * 2) / (1 - 2 * i); " +
        'r = (r + 2 / r) / 2; printf "%.17g %.17g %.17g\\n", e, p, r } }\'',
      check(output) {
        const rows = parseRows(output);
        if (machine === 'x86_64') assert.deepEqual(rows, expectedSeries());
        else assertClose(rows, expectedSeries());
      },
    },
  ];
}

/** The x87's registers have more bits than a double, which rounds some results twice. */
function assertClose(actual: readonly number[][], expected: readonly number[][]): void {
  assert.equal(actual.length, expected.length);
  for (const [i, row] of expected.entries()) {
    for (const [j, value] of row.entries()) {
      const error = Math.abs(actual[i]![j]! / value - 1);
      assert.ok(error < 1e-14, `row ${i}: ${actual[i]} is not ${row}`);
    }
  }
}

const COMMANDS: readonly GuestCommand[] = [
  { name: 'echo', command: 'echo it runs', check: (output) => assert.equal(output, 'it runs\n') },
  {
    name: 'memory',
    command: 'cat /proc/meminfo',
    check(output) {
      const kib = Number(/^MemTotal: +(\d+) kB$/m.exec(output)?.[1]);
      assert.ok(kib > 180 << 10 && kib < 256 << 10, `${kib} KiB`);
    },
  },
  {
    name: 'sha256sum',
    command: 'seq 1 20000 | sha256sum',
    check: (output) => assert.equal(output, `${digest('sha256')}  -\n`),
  },
  {
    name: 'gzip and bzip2 there and back, through pipes of several processes',
    command: 'seq 1 20000 | gzip | gunzip | bzip2 | bunzip2 | md5sum',
    check: (output) => assert.equal(output, `${digest('md5')}  -\n`),
  },
  {
    name: 'many processes',
    command: 'i=0; while [ $i -lt 60 ]; do /bin/true || exit 1; i=$((i+1)); done; echo $i',
    check: (output) => assert.equal(output, '60\n'),
  },
  {
    name: 'signals and timers',
    command:
      "trap 'echo caught' USR1; kill -USR1 $$; sleep 0.1; echo slept; (sleep 100 & kill -9 $!; wait $!; echo $?) 2>/dev/null",
    check: (output) => assert.equal(output, 'caught\nslept\n137\n'),
  },
  {
    name: 'every file in sysfs',
    command: 'ls -lR /sys >/tmp/sys && wc -l </tmp/sys',
    check: (output) => assert.ok(Number(output) > 5000, output),
  },
  {
    name: 'ACPI tables',
    command: 'ls /sys/firmware/acpi/tables',
    check(output) {
      for (const table of ['APIC', 'DSDT', 'FACP', 'MCFG']) assert.ok(output.split(/\s+/).includes(table), output);
    },
  },
  {
    name: 'the PCI host bridge',
    command: 'cat /sys/bus/pci/devices/0000:00:00.0/class',
    check: (output) => assert.equal(output, '0x060000\n'),
  },
  {
    name: 'the real-time clock',
    command: 'cat /sys/class/rtc/rtc0/since_epoch',
    check(output) {
      const age = Math.abs(Date.now() / 1000 - Number(output));
      assert.ok(age < 3600, `${output.trim()} is ${age} s off`);
    },
  },
  {
    name: 'interrupts of the timer and the serial port',
    command: 'cat /proc/interrupts',
    check(output) {
      assert.ok(Number(/^ *LOC: +(\d+)/m.exec(output)?.[1]) > 0, output);
      assert.ok(Number(/^ *4: +(\d+) .*ttyS0$/m.exec(output)?.[1]) > 0, output);
    },
  },
  {
    name: 'no complaint in the log of the kernel',
    command: 'dmesg',
    check(output) {
      assert.match(output, /Linux version 6\./);
      const complaints = output.split('\n').filter((line) => COMPLAINTS.test(line));
      assert.deepEqual(complaints, [], output);
    },
  },
];

/** The dmesg that looks for complaints comes last. */
export function guestCommands(machine: Machine): readonly GuestCommand[] {
  return [QUIET, ...machineCommands(machine), ...COMMANDS];
}
