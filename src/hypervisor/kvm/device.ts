import { close, O_RDWR, open } from '../../base/fd.ts';
import { SystemError } from '../../base/system-error.ts';
import { CrosvmError } from '../../errors.ts';
import * as c from './constants.ts';
import { KVM_CHECK_EXTENSION, KVM_CREATE_VM, KVM_GET_API_VERSION, KVM_GET_VCPU_MMAP_SIZE } from './ioctls.ts';
import { kvmIoctl } from './kvm-ioctl.ts';

/** What we cannot do without, with the name that the kernel's documentation gives it. */
const REQUIRED: readonly (readonly [number, string])[] = [
  [c.KVM_CAP_IRQCHIP, 'KVM_CAP_IRQCHIP'],
  [c.KVM_CAP_USER_MEMORY, 'KVM_CAP_USER_MEMORY'],
  [c.KVM_CAP_IRQ_ROUTING, 'KVM_CAP_IRQ_ROUTING'],
  [c.KVM_CAP_IRQFD, 'KVM_CAP_IRQFD'],
  [c.KVM_CAP_PIT2, 'KVM_CAP_PIT2'],
  [c.KVM_CAP_IOEVENTFD, 'KVM_CAP_IOEVENTFD'],
  [c.KVM_CAP_SIGNAL_MSI, 'KVM_CAP_SIGNAL_MSI'],
  [c.KVM_CAP_READONLY_MEM, 'KVM_CAP_READONLY_MEM'],
  [c.KVM_CAP_SPLIT_IRQCHIP, 'KVM_CAP_SPLIT_IRQCHIP'],
  [c.KVM_CAP_IMMEDIATE_EXIT, 'KVM_CAP_IMMEDIATE_EXIT'],
];

const INSTEAD = 'or run with --hypervisor soft';
const LOAD_MODULE = 'load the module with "sudo modprobe kvm_intel" (Intel) or "sudo modprobe kvm_amd" (AMD)';

/** What a failed open(2) of the device means and what to do about it. `errno` by name. */
export function explainOpenFailure(path: string, errno: string): string {
  switch (errno) {
    case 'ENOENT':
      return (
        `${path} does not exist: this machine has no hardware virtualization, it is switched off in the firmware, ` +
        `or KVM is not loaded; ${LOAD_MODULE}, ${INSTEAD}`
      );
    case 'EACCES':
    case 'EPERM':
      return (
        `no permission to open ${path}: join the group that owns it ("sudo usermod -aG kvm $USER", then log in ` +
        `again), ${INSTEAD}`
      );
    case 'ENODEV':
    case 'ENXIO':
      return `${path} exists, but no KVM answers behind it; ${LOAD_MODULE}, ${INSTEAD}`;
    case 'EISDIR':
      return `${path} is a folder, not the KVM device; pass the device with --kvm-device, ${INSTEAD}`;
    default:
      return `cannot open ${path} (${errno}), ${INSTEAD}`;
  }
}

/** The KVM device: what the host offers, and the maker of VMs. */
export class KvmDevice {
  readonly fd: number;
  readonly path: string;

  /** Opens the device and makes sure that it can do all that we need. Throws `E_KVM_OPEN` or `E_KVM_CAPABILITY`. */
  constructor(path = '/dev/kvm') {
    this.path = path;
    this.fd = openDevice(path);
    try {
      this.#check();
    } catch (error) {
      close(this.fd);
      throw error;
    }
  }

  /** The value of a KVM_CAP_ extension; 0 where there is no such thing. */
  extension(capability: number): number {
    return kvmIoctl(this.fd, KVM_CHECK_EXTENSION, capability);
  }

  /** Bytes of a vCPU's shared mapping. */
  vcpuMmapSize(): number {
    return kvmIoctl(this.fd, KVM_GET_VCPU_MMAP_SIZE);
  }

  /** A new VM's descriptor. Throws `E_KVM_CREATE_VM`. */
  createVm(): number {
    try {
      return kvmIoctl(this.fd, KVM_CREATE_VM);
    } catch (cause) {
      const busy = cause instanceof SystemError && cause.errno === 'EBUSY';
      const hint = busy ? '; another hypervisor (VirtualBox, VMware) holds the CPU, stop it first' : '';
      throw new CrosvmError('E_KVM_CREATE_VM', `KVM cannot make a VM: ${(cause as Error).message}${hint}`, { cause });
    }
  }

  close(): void {
    close(this.fd);
  }

  #check(): void {
    const version = this.#version();
    if (version !== c.KVM_API_VERSION) {
      const message = `${this.path} speaks version ${version} of the KVM API, we need ${c.KVM_API_VERSION}; ${INSTEAD}`;
      throw new CrosvmError('E_KVM_CAPABILITY', message);
    }
    const missing = REQUIRED.filter(([capability]) => this.extension(capability) === 0).map(([, name]) => name);
    if (missing.length > 0) {
      const message = `the KVM of this kernel is too old, it lacks ${missing.join(', ')}; ${INSTEAD}`;
      throw new CrosvmError('E_KVM_CAPABILITY', message);
    }
  }

  #version(): number {
    try {
      return kvmIoctl(this.fd, KVM_GET_API_VERSION);
    } catch (cause) {
      const message = `${this.path} is not a KVM device; pass the right one with --kvm-device, ${INSTEAD}`;
      throw new CrosvmError('E_KVM_OPEN', message, { cause });
    }
  }
}

function openDevice(path: string): number {
  try {
    return open(path, O_RDWR);
  } catch (cause) {
    const errno = cause instanceof SystemError ? cause.errno : String(cause);
    throw new CrosvmError('E_KVM_OPEN', explainOpenFailure(path, errno), { cause });
  }
}
