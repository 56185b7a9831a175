import { closeSync, openSync, readFileSync } from 'node:fs';

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

/** Whether a device can be opened for reading and writing. Without the C library: it is asked before that is loaded. */
export function canOpen(path: string): boolean {
  try {
    closeSync(openSync(path, 'r+'));
    return true;
  } catch {
    return false;
  }
}
