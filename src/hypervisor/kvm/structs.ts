/** The structs of <linux/kvm.h> and <asm/kvm.h> that we exchange with the kernel (x86-64). */
import { consecutive, structLayout } from './struct-layout.ts';

export const kvm_userspace_memory_region = structLayout('kvm_userspace_memory_region', 32, {
  slot: [0, 'u32'],
  flags: [4, 'u32'],
  guest_phys_addr: [8, 'u64'],
  memory_size: [16, 'u64'],
  userspace_addr: [24, 'u64'],
});

export const kvm_dirty_log = structLayout('kvm_dirty_log', 16, {
  slot: [0, 'u32'],
  dirty_bitmap: [8, 'u64'],
});

export const kvm_irq_level = structLayout('kvm_irq_level', 8, { irq: [0, 'u32'], level: [4, 'u32'] });

export const kvm_pit_config = structLayout('kvm_pit_config', 64, { flags: [0, 'u32'] });

export const kvm_msi = structLayout('kvm_msi', 32, {
  address_lo: [0, 'u32'],
  address_hi: [4, 'u32'],
  data: [8, 'u32'],
  flags: [12, 'u32'],
});

export const kvm_irqfd = structLayout('kvm_irqfd', 32, {
  fd: [0, 'u32'],
  gsi: [4, 'u32'],
  flags: [8, 'u32'],
  resamplefd: [12, 'u32'],
});

export const kvm_ioeventfd = structLayout('kvm_ioeventfd', 64, {
  datamatch: [0, 'u64'],
  addr: [8, 'u64'],
  len: [16, 'u32'],
  fd: [20, 'u32'],
  flags: [24, 'u32'],
});

/** The header; `entries` follow. */
export const kvm_irq_routing = structLayout('kvm_irq_routing', 8, {
  nr: [0, 'u32'],
  flags: [4, 'u32'],
  entries: [8, 0],
});

export const kvm_irq_routing_entry = structLayout('kvm_irq_routing_entry', 48, {
  gsi: [0, 'u32'],
  type: [4, 'u32'],
  flags: [8, 'u32'],
  'u.irqchip.irqchip': [16, 'u32'],
  'u.irqchip.pin': [20, 'u32'],
  'u.msi.address_lo': [16, 'u32'],
  'u.msi.address_hi': [20, 'u32'],
  'u.msi.data': [24, 'u32'],
});

export const kvm_enable_cap = structLayout('kvm_enable_cap', 104, {
  cap: [0, 'u32'],
  flags: [4, 'u32'],
  args: [8, 32],
  'args[0]': [8, 'u64'],
});

export const kvm_regs = structLayout('kvm_regs', 144, {
  ...consecutive('u64', 0, ['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rsp', 'rbp']),
  ...consecutive('u64', 64, ['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15', 'rip', 'rflags']),
});

export const kvm_segment = structLayout('kvm_segment', 24, {
  base: [0, 'u64'],
  limit: [8, 'u32'],
  selector: [12, 'u16'],
  ...consecutive('u8', 14, ['type', 'present', 'dpl', 'db', 's', 'l', 'g', 'avl', 'unusable']),
});

export const kvm_dtable = structLayout('kvm_dtable', 16, { base: [0, 'u64'], limit: [8, 'u16'] });

export const kvm_sregs = structLayout('kvm_sregs', 312, {
  cs: [0, 24],
  ds: [24, 24],
  es: [48, 24],
  fs: [72, 24],
  gs: [96, 24],
  ss: [120, 24],
  tr: [144, 24],
  ldt: [168, 24],
  gdt: [192, 16],
  idt: [208, 16],
  ...consecutive('u64', 224, ['cr0', 'cr2', 'cr3', 'cr4', 'cr8', 'efer', 'apic_base']),
  interrupt_bitmap: [280, 32],
});

/** An XSAVE area in standard format (Intel SDM vol. 1, 13.4): the FXSAVE image, then the header, then the rest. */
export const kvm_xsave = structLayout('kvm_xsave', 4096, {
  region: [0, 4096],
  // Word 128 and 129: XSTATE_BV, which of the parts hold something.
  'region[128]': [512, 'u32'],
});

/** The header; `entries` follow. */
export const kvm_msrs = structLayout('kvm_msrs', 8, { nmsrs: [0, 'u32'], entries: [8, 0] });

export const kvm_msr_entry = structLayout('kvm_msr_entry', 16, { index: [0, 'u32'], data: [8, 'u64'] });

/** The header; `entries` follow. */
export const kvm_cpuid2 = structLayout('kvm_cpuid2', 8, { nent: [0, 'u32'], entries: [8, 0] });

export const kvm_cpuid_entry2 = structLayout('kvm_cpuid_entry2', 40, {
  function: [0, 'u32'],
  index: [4, 'u32'],
  flags: [8, 'u32'],
  eax: [12, 'u32'],
  ebx: [16, 'u32'],
  ecx: [20, 'u32'],
  edx: [24, 'u32'],
});

export const kvm_lapic_state = structLayout('kvm_lapic_state', 1024, { regs: [0, 1024] });

export const kvm_guest_debug = structLayout('kvm_guest_debug', 72, {
  control: [0, 'u32'],
  'arch.debugreg[0]': [8, 'u64'],
  'arch.debugreg[1]': [16, 'u64'],
  'arch.debugreg[2]': [24, 'u64'],
  'arch.debugreg[3]': [32, 'u64'],
  'arch.debugreg[7]': [64, 'u64'],
});

export const kvm_vcpu_events = structLayout('kvm_vcpu_events', 64, {
  ...consecutive('u8', 0, ['exception.injected', 'exception.nr', 'exception.has_error_code', 'exception.pending']),
  'exception.error_code': [4, 'u32'],
  ...consecutive('u8', 8, ['interrupt.injected', 'interrupt.nr', 'interrupt.soft', 'interrupt.shadow']),
  ...consecutive('u8', 12, ['nmi.injected', 'nmi.pending', 'nmi.masked']),
  sipi_vector: [16, 'u32'],
  flags: [20, 'u32'],
});

export const kvm_mp_state = structLayout('kvm_mp_state', 4, { mp_state: [0, 'u32'] });

/** Room for all 16 registers; we use the first. */
export const kvm_xcrs = structLayout('kvm_xcrs', 392, {
  nr_xcrs: [0, 'u32'],
  flags: [4, 'u32'],
  'xcrs[0].xcr': [8, 'u32'],
  'xcrs[0].value': [16, 'u64'],
});

export const kvm_translation = structLayout('kvm_translation', 24, {
  linear_address: [0, 'u64'],
  physical_address: [8, 'u64'],
  valid: [16, 'u8'],
});

export const kvm_interrupt = structLayout('kvm_interrupt', 4, { irq: [0, 'u32'] });

/** The length; `sigset` follows. */
export const kvm_signal_mask = structLayout('kvm_signal_mask', 4, { len: [0, 'u32'], sigset: [4, 0] });

/** The page that KVM_RUN and we share. */
export const kvm_run = structLayout('kvm_run', 2352, {
  request_interrupt_window: [0, 'u8'],
  immediate_exit: [1, 'u8'],
  exit_reason: [8, 'u32'],
  ready_for_interrupt_injection: [12, 'u8'],
  'io.direction': [32, 'u8'],
  'io.size': [33, 'u8'],
  'io.port': [34, 'u16'],
  'io.count': [36, 'u32'],
  'io.data_offset': [40, 'u64'],
  'mmio.phys_addr': [32, 'u64'],
  'mmio.data': [40, 8],
  'mmio.len': [48, 'u32'],
  'mmio.is_write': [52, 'u8'],
  'eoi.vector': [32, 'u8'],
  'system_event.type': [32, 'u32'],
  'fail_entry.hardware_entry_failure_reason': [32, 'u64'],
  'hw.hardware_exit_reason': [32, 'u64'],
  'internal.suberror': [32, 'u32'],
  'internal.ndata': [36, 'u32'],
  'internal.data': [40, 128],
  'emulation_failure.flags': [40, 'u64'],
  'emulation_failure.insn_size': [48, 'u8'],
  'emulation_failure.insn_bytes': [49, 15],
});

/** Every layout above, for the test that compares them with the kernel's header. */
export const KVM_STRUCTS = [
  kvm_userspace_memory_region,
  kvm_dirty_log,
  kvm_irq_level,
  kvm_pit_config,
  kvm_msi,
  kvm_irqfd,
  kvm_ioeventfd,
  kvm_irq_routing,
  kvm_irq_routing_entry,
  kvm_enable_cap,
  kvm_regs,
  kvm_segment,
  kvm_dtable,
  kvm_sregs,
  kvm_xsave,
  kvm_msrs,
  kvm_msr_entry,
  kvm_cpuid2,
  kvm_cpuid_entry2,
  kvm_lapic_state,
  kvm_guest_debug,
  kvm_vcpu_events,
  kvm_mp_state,
  kvm_xcrs,
  kvm_translation,
  kvm_interrupt,
  kvm_signal_mask,
  kvm_run,
] as const;
