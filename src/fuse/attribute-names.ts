import { Name } from '../host-folder/name.ts';
import type { FuseOptions } from './fuse-options.ts';

/** In front of the names of the guest's `security.` attributes where the host's are not for it. */
const PREFIX = 'user.virtiofs.';
const REWRITTEN = 'security.';

/** The name of an attribute on the host. */
export function storedName(name: Name, { rewriteSecurityXattrs }: FuseOptions): Name {
  return rewriteSecurityXattrs && startsWith(name.memory.bytes, name.start, name.length, REWRITTEN)
    ? Name.of(PREFIX + name.toString())
    : name;
}

/** Whether the guest must not see an attribute of the host by its name: it is not the one that it means. */
export function isHidden(name: Name, { rewriteSecurityXattrs }: FuseOptions): boolean {
  return rewriteSecurityXattrs && startsWith(name.memory.bytes, name.start, name.length, PREFIX);
}

/**
 * Turns a list of the host's names (a zero behind each) in the first `length` bytes of `bytes` from `start` into the guest's;
 * returns its length.
 */
export function shownNames(
  bytes: Uint8Array,
  start: number,
  length: number,
  { rewriteSecurityXattrs }: FuseOptions,
): number {
  if (!rewriteSecurityXattrs) return length;
  let to = start;
  for (let from = start; from < start + length; ) {
    const end = bytes.indexOf(0, from) + 1;
    const isOurs = startsWith(bytes, from, end - from, PREFIX);
    // The host's own are not the guest's.
    if (!startsWith(bytes, from, end - from, REWRITTEN)) {
      const shown = isOurs ? from + PREFIX.length : from;
      bytes.copyWithin(to, shown, end);
      to += end - shown;
    }
    from = end;
  }
  return to - start;
}

function startsWith(bytes: Uint8Array, start: number, length: number, text: string): boolean {
  if (length < text.length) return false;
  for (let i = 0; i < text.length; i++) if (bytes[start + i] !== text.charCodeAt(i)) return false;
  return true;
}
