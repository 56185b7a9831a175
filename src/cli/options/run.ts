import { globalOptions } from './global.ts';
import { hypervisorSyntax } from './hypervisor.ts';
import { jitSyntax } from './jit.ts';
import { flag, list, type Parsed, value, valueOr, valueOrImplied } from './option.ts';
import { serialSyntax } from './serial.ts';
import { choice, integer, keyValues, mapped, path, required, text } from './syntax.ts';

/** In MiB: more than this does not fit the address space of any x86-64 processor. */
const MAX_MEMORY_MIB = 2 ** 32;
/** What an 8-bit local APIC id can name, without the broadcast id. */
const MAX_CPUS = 255;

const memory = mapped(
  keyValues(
    { size: required(integer({ min: 0, max: MAX_MEMORY_MIB, metavar: 'MIB' }), 'Size in MiB.') },
    { first: 'size', metavar: 'MIB' },
  ),
  ({ size }) => size,
);

const cpus = mapped(
  keyValues(
    { 'num-cores': required(integer({ min: 1, max: MAX_CPUS }), 'Number of vCPUs.') },
    { first: 'num-cores', metavar: 'N' },
  ),
  (given) => given['num-cores'],
);

/** Every option of `crosvm run`. */
export const runOptions = {
  mem: valueOr({
    short: 'm',
    section: 'Machine',
    syntax: memory,
    fallback: 256,
    help: 'Guest memory.',
  }),
  cpus: valueOr({
    short: 'c',
    section: 'Machine',
    syntax: cpus,
    fallback: 1,
    help: 'Virtual CPUs.',
  }),
  hypervisor: valueOr({
    section: 'Machine',
    syntax: hypervisorSyntax,
    fallback: { kind: 'auto', device: undefined },
    help: 'What runs the guest [default: auto].',
  }),
  kvmDevice: value({
    section: 'Machine',
    syntax: path(),
    help: 'The KVM device [default: /dev/kvm].',
  }),
  jit: valueOr({
    section: 'Machine',
    syntax: jitSyntax,
    fallback: 'auto',
    help: 'What the software CPU compiles; KVM has nothing to compile, so there it has no effect.',
  }),
  irqchip: value({
    section: 'Machine',
    syntax: choice('kernel', 'split'),
    help: 'With KVM, where PIC, IOAPIC and PIT live: in the kernel (the default), or in this process.',
  }),
  splitIrqchip: flag({
    section: 'Machine',
    help: 'The same as --irqchip split.',
  }),
  deterministic: valueOrImplied({
    section: 'Machine',
    syntax: integer({ min: 0, max: Number.MAX_SAFE_INTEGER, metavar: 'SEED' }),
    implied: 0,
    help:
      "Make every run of the same command the same: the guest's time is the number of its instructions, and what is " +
      'random to it follows from SEED, a whole number [0 without one]. On the software CPU, with one vCPU. The hash of ' +
      "the machine's last state is said at --log-level info.",
  }),
  acpiTable: list({
    section: 'Machine',
    syntax: path(),
    help: 'Add the ACPI table in this file to those of the machine.',
  }),

  params: list({
    short: 'p',
    section: 'Boot',
    syntax: text('TEXT'),
    help: "Add to the guest kernel's command line.",
  }),
  initrd: value({
    short: 'i',
    section: 'Boot',
    syntax: path(),
    help: 'Initial ramdisk for the guest kernel.',
  }),
  bios: value({
    section: 'Boot',
    syntax: path(),
    help: 'Run the firmware in this file, from the reset vector, instead of a kernel.',
  }),

  serial: list({
    section: 'Devices',
    syntax: serialSyntax,
    help: 'Set up a serial port. Without any that is a console, COM1 is one, on standard input and output.',
  }),

  socket: value({
    short: 's',
    section: 'Control',
    syntax: path(),
    help: 'Listen for commands such as "crosvm stop" at this path; in a folder, at crosvm-PID.sock.',
  }),
  ...globalOptions,
};

export type RunOptions = Parsed<typeof runOptions>;
