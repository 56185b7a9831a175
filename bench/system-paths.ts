/**
 * What system instructions, exceptions and exits cost on the software CPU: `node bench/system-paths.ts [--only NAME]`.
 * Each row is a loop of a bare-metal guest in long mode, in nanoseconds for one round, the empty loop subtracted.
 */
import { parseArgs } from 'node:util';
import { assemble } from '../e2e/bare-metal/assemble.ts';
import {
  PAGE_TABLE,
  PML4,
  registersAtOrigin,
  systemRegistersFor,
  TSS,
  writeTables,
} from '../e2e/bare-metal/machine-state.ts';
import { EXIT_PORT, ORIGIN } from '../e2e/bare-metal/prelude.ts';
import { Bus } from '../src/devices/bus.ts';
import { soft } from '../src/hypervisor/soft/soft.ts';
import type { GuestMemory } from '../src/memory/guest-memory.ts';
import { machineLine, table } from './report.ts';

const { values } = parseArgs({ options: { only: { type: 'string' }, rounds: { type: 'string', default: '100000' } } });
const ROUNDS = Number(values.rounds);
const REPEATS = 5;
const MEMORY_SIZE = 0x20_0000;
const USER = 4;

interface Row {
  readonly name: string;
  /** One round; r15 is the loop's. */
  readonly body: string;
  /** Before the loop, at privilege 0. */
  readonly before?: string;
  /** Whether the loop runs at privilege 3, with `syscall` to leave it. */
  readonly user?: boolean;
}

/** Data, in a page without code. */
const AREA = 0x18_8000;
const ENTRY = PAGE_TABLE + 0x1f0 * 8;
const UNMAP = `andb $0xfe, ${ENTRY}; invlpg 0x1f0000`;

const ROWS: readonly Row[] = [
  { name: 'nothing', body: '' },
  { name: 'INT n, IRETQ', body: 'int $0x80' },
  { name: '#UD, IRETQ', body: 'ud2' },
  { name: 'IRETQ to the same privilege', body: 'call *%r14', before: 'lea sync(%rip), %r14' },
  { name: 'SYSCALL, SYSRET', body: 'mov $1, %eax; syscall', user: true },
  { name: '#PF at privilege 3, IRETQ', body: 'movb $0, (%rbx)', before: 'mov $0x100000000, %rbx', user: true },
  {
    name: '#PF that maps a page, INVLPG',
    body: `movb $0, 0x1f0000; ${UNMAP}`,
    before: `movb $1, maps(%rip); ${UNMAP}`,
  },
  { name: 'MOV CR3', body: 'mov %rax, %cr3', before: 'mov %cr3, %rax' },
  { name: 'MOV CR3, 8 pages', body: `mov %rax, %cr3;${touch(8)}`, before: 'mov %cr3, %rax' },
  { name: '8 pages', body: touch(8) },
  { name: 'MOV from CR2', body: 'mov %cr2, %rax' },
  { name: 'MOV CR0', body: 'mov %rax, %cr0', before: 'mov %cr0, %rax' },
  { name: 'MOV CR4', body: 'mov %rax, %cr4', before: 'mov %cr4, %rax' },
  { name: 'INVLPG', body: 'invlpg 0x1f0000' },
  { name: 'SWAPGS twice', body: 'swapgs; swapgs' },
  { name: 'RDMSR of GS_BASE', body: 'rdmsr', before: 'mov $0xc0000101, %ecx' },
  { name: 'WRMSR of FS_BASE', body: 'wrmsr', before: 'mov $0xc0000100, %ecx; xor %eax, %eax; xor %edx, %edx' },
  { name: 'WRMSR of TSC_DEADLINE', body: 'wrmsr', before: 'mov $0x6e0, %ecx; mov $-1, %eax; mov $0xfffff, %edx' },
  { name: 'RDTSC', body: 'rdtsc' },
  { name: 'RDTSCP', body: 'rdtscp' },
  { name: 'CPUID', body: 'mov $1, %eax; cpuid' },
  { name: 'CLI, STI', body: 'cli; sti; nop' },
  { name: 'PUSHF, POPF', body: 'pushfq; popfq' },
  { name: 'MOV to DS and from it', body: 'mov %eax, %ds; mov %ds, %edx', before: 'mov $0x10, %eax' },
  { name: 'MOV null to FS', body: 'mov %eax, %fs', before: 'xor %eax, %eax' },
  { name: 'LGDT', body: 'lgdt gdtr(%rip)' },
  { name: 'FXSAVE64', body: `fxsave64 ${AREA}` },
  { name: 'FXRSTOR64', body: `fxrstor64 ${AREA}`, before: `fxsave64 ${AREA}` },
  { name: 'CMPXCHG16B', body: `cmpxchg16b ${AREA}` },
  { name: 'CMPXCHG8B', body: `cmpxchg8b ${AREA}` },
  { name: 'IN of a byte', body: 'inb $0x80, %al' },
  { name: 'OUT of a byte', body: 'outb %al, $0x80' },
  { name: 'MMIO read', body: 'movl (%rbx), %eax', before: 'mov $0xd0000000, %ebx' },
  { name: 'MMIO write', body: 'movl %eax, (%rbx)', before: 'mov $0xd0000000, %ebx' },
  { name: 'LAPIC read', body: 'movl 0x20(%rbx), %eax', before: 'mov $0xfee00000, %ebx' },
  { name: 'self IPI, HLT', body: 'movl %eax, 0x300(%rbx); sti; hlt; cli', before: selfIpi() },
  { name: 'call after code is written', body: 'movb $0x90, 2f(%rip); call 2f; jmp 3f; 2: nop; ret; 3:' },
];

function selfIpi(): string {
  return 'mov $0xfee00000, %ebx; movl $0x1ff, 0xf0(%rbx); mov $0x44021, %eax';
}

function touch(pages: number): string {
  return Array.from({ length: pages }, (_, n) => `movb ${0x180000 + n * 0x1000}, %dl`).join(';');
}

/** A guest with all that the rows need around its loop: GDT, IDT, MSRs of SYSCALL, stacks. */
function source({ body, before = '', user = false }: Row): string {
  return `
  lgdt gdtr(%rip)
  pushq $8
  lea 1f(%rip), %rax
  pushq %rax
  lretq
1:
  load_idt
  movq $0x7f00, ${TSS + 4}
  mov $0xc0000080, %ecx
  rdmsr
  or $1, %eax
  wrmsr
  mov $0xc0000081, %ecx
  xor %eax, %eax
  mov $0x180008, %edx
  wrmsr
  mov $0xc0000082, %ecx
  lea entry(%rip), %rax
  xor %edx, %edx
  wrmsr
  mov $0xc0000084, %ecx
  mov $0x200, %eax
  wrmsr
  ${before}
  mov $${ROUNDS}, %r15d
  ${user ? 'lea 4f(%rip), %rcx; mov $2, %r11d; sysretq' : ''}
  .balign 64
4:
  ${body}
  dec %r15d
  jnz 4b
  ${user ? 'xor %eax, %eax; syscall' : ''}
  exit 0
  .balign 64
sync:
  mov %ss, %eax
  mov %rsp, %rdx
  pushq %rax
  pushq %rdx
  addq $8, (%rsp)
  subq $8, (%rsp)
  pushfq
  pushq $8
  lea 1f(%rip), %rdx
  pushq %rdx
  iretq
1: ret
entry:
  test %eax, %eax
  jz 1f
  sysretq
1: exit 0
ud:
  addq $2, (%rsp)
  iretq
page:
  addq $8, %rsp
  cmpb $0, maps(%rip)
  jne 1f
  addq $3, (%rsp)
  iretq
1: orb $1, ${ENTRY}
  iretq
back: iretq
eoi:
  pushq %rax
  mov $0xfee000b0, %eax
  movl $0, (%rax)
  popq %rax
  iretq
maps: .byte 0
gdtr: .word gdt_end - gdt - 1
  .quad ORIGIN + gdt - start
  .balign 8
gdt: .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cffb000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff
gdt_end:
idt:
  gates_to back 6
  gate ud
  gates_to back 7
  gate page
  gates_to back 18
  gate eoi
  gates_to back 222
`;
}

function allowUser(memory: GuestMemory): void {
  for (let table = PML4; table <= PAGE_TABLE; table += 0x1000) {
    for (let at = table; at < table + 0x1000; at += 8) {
      const entry = memory.getU32(at);
      if ((entry & 1) !== 0) memory.setU32(at, entry | USER);
    }
  }
}

/** Nanoseconds of one run of a row's loop. */
function measure(row: Row): number {
  const hypervisor = soft();
  const vm = hypervisor.createVm({ memory: [{ gpa: 0, size: MEMORY_SIZE }], cpus: 1, irqchip: 'kernel' });
  try {
    vm.memory.write(ORIGIN, assemble(source(row)));
    writeTables(vm.memory);
    allowUser(vm.memory);
    const vcpu = hypervisor.attachVcpu(vm.handle(0));
    vcpu.setCpuid(vcpu.supportedCpuid());
    const ports = new Bus();
    let ended = false;
    const device = { read: (_: number, data: Uint8Array) => void data.fill(0), write: () => {} };
    ports.insert(device, 0x80, 1);
    const exit = () => {
      ended = true;
      vm.kick(0);
    };
    ports.insert({ ...device, write: exit }, EXIT_PORT, 1);
    const mmio = new Bus();
    mmio.insert(device, 0xd000_0000, 0x1000);
    let best = Number.POSITIVE_INFINITY;
    for (let repeat = 0; repeat < REPEATS; repeat++) {
      vcpu.setSystemRegisters(systemRegistersFor('long', vcpu.getSystemRegisters()));
      vcpu.setRegisters(registersAtOrigin());
      ended = false;
      const start = process.hrtime.bigint();
      while (!ended) {
        const { reason } = vcpu.run({ ports, mmio });
        if (reason !== 'kicked') throw new Error(`${row.name}: the guest ended with ${reason}`);
      }
      best = Math.min(best, Number(process.hrtime.bigint() - start));
    }
    vcpu.close();
    return best;
  } finally {
    vm.close();
  }
}

const header = machineLine();
const empty = measure(ROWS[0]!);
const chosen = ROWS.filter(({ name }) => values.only === undefined || name.includes(values.only));
const rows = chosen.map((row) => {
  const ns = (measure(row) - (row === ROWS[0] ? 0 : empty)) / ROUNDS;
  console.error(`${row.name}: ${ns.toFixed(0)}`);
  return [row.name, ns.toFixed(0)];
});
console.log(`${header}; best of ${REPEATS} runs of ${ROUNDS} rounds\n`);
console.log(table(['one round of', 'ns'], rows));
