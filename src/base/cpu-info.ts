import { readFileSync } from 'node:fs';

/**
 * Whether the host's CPU has hardware virtualization (Intel VT-x or AMD-V). Some hosts offer a /dev/kvm without: it
 * interprets kernel code, and Linux does not run there. `cpuInfo` is the text of /proc/cpuinfo.
 */
export function hasHardwareVirtualization(cpuInfo: string = readCpuInfo()): boolean {
  return /^flags[ \t]*:.*[ \t](vmx|svm)(\s|$)/m.test(cpuInfo);
}

function readCpuInfo(): string {
  try {
    return readFileSync('/proc/cpuinfo', 'latin1');
  } catch {
    return '';
  }
}
