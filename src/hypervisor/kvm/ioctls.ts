/** Request numbers of the KVM API (Linux, Documentation/virt/kvm/api.rst), as <asm-generic/ioctl.h> composes them. */
import type { StructLayout } from './struct-layout.ts';
import * as s from './structs.ts';

const KVMIO = 0xae;

/** Direction is 2 bits from bit 30, the size 14 bits from bit 16. Multiplied, since bit 31 would make it negative. */
function request(direction: number, nr: number, size: number): number {
  return direction * 0x4000_0000 + size * 0x1_0000 + KVMIO * 0x100 + nr;
}

const io = (nr: number): number => request(0, nr, 0);
const iow = (nr: number, argument: StructLayout): number => request(1, nr, argument.size);
const ior = (nr: number, argument: StructLayout): number => request(2, nr, argument.size);
const iowr = (nr: number, argument: StructLayout): number => request(3, nr, argument.size);

// /dev/kvm
export const KVM_GET_API_VERSION = io(0x00);
export const KVM_CREATE_VM = io(0x01);
export const KVM_CHECK_EXTENSION = io(0x03);
export const KVM_GET_VCPU_MMAP_SIZE = io(0x04);
export const KVM_GET_SUPPORTED_CPUID = iowr(0x05, s.kvm_cpuid2);

// a VM
export const KVM_CREATE_VCPU = io(0x41);
export const KVM_GET_DIRTY_LOG = iow(0x42, s.kvm_dirty_log);
export const KVM_SET_USER_MEMORY_REGION = iow(0x46, s.kvm_userspace_memory_region);
export const KVM_SET_TSS_ADDR = io(0x47);
/** Its argument is a bare __u64. */
export const KVM_SET_IDENTITY_MAP_ADDR = request(1, 0x48, 8);
export const KVM_CREATE_IRQCHIP = io(0x60);
export const KVM_IRQ_LINE = iow(0x61, s.kvm_irq_level);
export const KVM_SET_GSI_ROUTING = iow(0x6a, s.kvm_irq_routing);
export const KVM_IRQFD = iow(0x76, s.kvm_irqfd);
export const KVM_CREATE_PIT2 = iow(0x77, s.kvm_pit_config);
export const KVM_IOEVENTFD = iow(0x79, s.kvm_ioeventfd);
export const KVM_ENABLE_CAP = iow(0xa3, s.kvm_enable_cap);
export const KVM_SIGNAL_MSI = iow(0xa5, s.kvm_msi);

// a vCPU
export const KVM_RUN = io(0x80);
export const KVM_GET_REGS = ior(0x81, s.kvm_regs);
export const KVM_SET_REGS = iow(0x82, s.kvm_regs);
export const KVM_GET_SREGS = ior(0x83, s.kvm_sregs);
export const KVM_SET_SREGS = iow(0x84, s.kvm_sregs);
export const KVM_TRANSLATE = iowr(0x85, s.kvm_translation);
export const KVM_INTERRUPT = iow(0x86, s.kvm_interrupt);
export const KVM_GET_MSRS = iowr(0x88, s.kvm_msrs);
export const KVM_SET_MSRS = iow(0x89, s.kvm_msrs);
export const KVM_SET_SIGNAL_MASK = iow(0x8b, s.kvm_signal_mask);
export const KVM_GET_LAPIC = ior(0x8e, s.kvm_lapic_state);
export const KVM_SET_LAPIC = iow(0x8f, s.kvm_lapic_state);
export const KVM_SET_CPUID2 = iow(0x90, s.kvm_cpuid2);
export const KVM_GET_MP_STATE = ior(0x98, s.kvm_mp_state);
export const KVM_SET_MP_STATE = iow(0x99, s.kvm_mp_state);
export const KVM_NMI = io(0x9a);
export const KVM_SET_GUEST_DEBUG = iow(0x9b, s.kvm_guest_debug);
export const KVM_GET_VCPU_EVENTS = ior(0x9f, s.kvm_vcpu_events);
export const KVM_SET_VCPU_EVENTS = iow(0xa0, s.kvm_vcpu_events);
export const KVM_GET_XSAVE = ior(0xa4, s.kvm_xsave);
export const KVM_SET_XSAVE = iow(0xa5, s.kvm_xsave);
export const KVM_GET_XCRS = ior(0xa6, s.kvm_xcrs);
export const KVM_SET_XCRS = iow(0xa7, s.kvm_xcrs);
export const KVM_KVMCLOCK_CTRL = io(0xad);
