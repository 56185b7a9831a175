import { fileSystemType } from '../../base/file-calls.ts';
import { EXDEV } from '../errno.ts';
import { MAX_DEVICES } from './inode-table.ts';

/** File systems that are windows into the kernel: what is written there acts on the host, or on this very process. */
const KERNEL_FILE_SYSTEMS: ReadonlySet<number> = new Set([
  0x9fa0, // proc
  0x6265_6572, // sysfs
  0x27_e0eb, // cgroup
  0x6367_7270, // cgroup2
  0x6462_6720, // debugfs
  0x7472_6163, // tracefs
  0x7363_6673, // securityfs
  0x6265_6570, // configfs
  0xcafe_4a11, // bpf
  0x6165_676c, // pstore
  0xde5e_81e4, // efivarfs
  0x1cd1, // devpts
  0x6573_5543, // fusectl
  0x4249_4e4d, // binfmt_misc
  0x1980_0202, // mqueue
  0xf97c_ff8c, // selinux
  0x4341_5d53, // smack
  0x6e73_6673, // nsfs
  0x7265_7363, // resctrl
]);

/** Whether nothing of a file system of this type (f_type) is for guests. */
export function isKernelFileSystem(type: number): boolean {
  return KERNEL_FILE_SYSTEMS.has(type);
}

/** The file systems that a folder spans, by their device numbers. */
export class DeviceTable {
  readonly #majors: number[] = [];
  readonly #minors: number[] = [];
  readonly #isKernels: boolean[] = [];

  /** The index of a device, or -1 if it was not met before. */
  find(major: number, minor: number): number {
    for (let i = 0; i < this.#majors.length; i++) {
      if (this.#minors[i] === minor && this.#majors[i] === major) return i;
    }
    return -1;
  }

  /** The index of a new device, of which `fd` is a file; or a negative errno. */
  add(major: number, minor: number, fd: number): number {
    if (this.#majors.length === MAX_DEVICES) return -EXDEV;
    const type = fileSystemType(fd);
    if (type < 0) return type;
    this.#majors.push(major);
    this.#minors.push(minor);
    this.#isKernels.push(isKernelFileSystem(type));
    return this.#majors.length - 1;
  }

  /** Whether nothing in it is for guests. */
  isKernels(index: number): boolean {
    return this.#isKernels[index]!;
  }
}
