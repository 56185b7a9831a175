import type { DescriptorPaths } from '../../base/descriptor-paths.ts';
import { callMemory, getAttribute, listAttributes, removeAttribute, setAttribute } from '../../base/file-calls.ts';
import { addressOfMemory } from '../../base/iovec.ts';
import type { HostMemory } from '../../memory/scatter-list.ts';
import { EINVAL, ENODATA, EPERM, ERANGE } from '../errno.ts';
import type { Name } from '../name.ts';
import type { AttributeNames } from './attribute-names.ts';

/** The longest value, the longest name, and the longest list of names (xattr(7)). */
const XATTR_SIZE_MAX = 65536;
const XATTR_NAME_MAX = 255;
const XATTR_LIST_MAX = 65536;

/** Extended attributes of files of the host, by descriptors of those, which may be O_PATH ones. */
export class ExtendedAttributes {
  readonly #paths: DescriptorPaths;
  readonly #names: AttributeNames;
  /** For system calls, with a zero behind it. */
  readonly #name = callMemory(XATTR_NAME_MAX + 1);
  readonly #list = callMemory(XATTR_LIST_MAX);

  constructor(paths: DescriptorPaths, names: AttributeNames) {
    this.#paths = paths;
    this.#names = names;
  }

  get(fd: number, name: Name, target: HostMemory, size: number): number {
    const problem = this.#take(name, ENODATA);
    return problem < 0 ? problem : getAttribute(this.#paths.of(fd), this.#name.address, addressOfMemory(target), size);
  }

  set(fd: number, name: Name, value: Name, flags: number): number {
    if (value.length > XATTR_SIZE_MAX) return -ERANGE;
    const problem = this.#take(name, EPERM);
    if (problem < 0) return problem;
    const from = addressOfMemory(value.memory) + value.start;
    return setAttribute(this.#paths.of(fd), this.#name.address, from, value.length, flags);
  }

  remove(fd: number, name: Name): number {
    const problem = this.#take(name, ENODATA);
    return problem < 0 ? problem : removeAttribute(this.#paths.of(fd), this.#name.address);
  }

  list(fd: number, target: HostMemory, size: number): number {
    const path = this.#paths.of(fd);
    if (this.#names.areTheHosts) return listAttributes(path, addressOfMemory(target), size);
    const { bytes, address } = this.#list;
    const length = listAttributes(path, address, bytes.length);
    if (length < 0) return length;
    const shown = this.#names.showList(bytes, length);
    if (size === 0) return shown;
    if (shown > size) return -ERANGE;
    target.bytes.set(bytes.subarray(0, shown));
    return shown;
  }

  /** Makes `#name` the host's name of an attribute; returns 0 or a negative errno, that of `hidden` for what is not shown. */
  #take(name: Name, hidden: number): number {
    const ofHost = this.#names.ofHost(name);
    if (ofHost === undefined) return -hidden;
    if (ofHost.length === 0 || ofHost.length > XATTR_NAME_MAX) return -ERANGE;
    if (ofHost.has(0)) return -EINVAL;
    ofHost.copyTo(this.#name.bytes, 0);
    this.#name.bytes[ofHost.length] = 0;
    return 0;
  }
}
