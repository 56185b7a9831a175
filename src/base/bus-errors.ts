/**
 * A file that became shorter under a mapping: whoever touches a page that is gone gets SIGBUS, which ends the process.
 * Mappings whose files are not ours to keep are watched: the missing page becomes zeroes, and an eventfd tells. What goes
 * on with the zeroes is to be ended then.
 *
 * The signal comes in the middle of any instruction, also of generated code, so no JavaScript can handle it. The handler
 * is a few instructions (bus-error-handler.s) that make two system calls. On other processors than x86-64 there is none.
 */
import { EventFd } from './event-fd.ts';
import { check, libc, pin } from './ffi.ts';
import { MAP_ANONYMOUS, MAP_PRIVATE, mmap, mprotect, PROT_EXEC, PROT_READ, view } from './mmap.ts';

const SIGBUS = 7;
const SA_SIGINFO = 4;
const SA_ONSTACK = 0x0800_0000;
const SA_RESTART = 0x1000_0000;

const PAGE = 4096;

/** What the assembler makes of bus-error-handler.s. */
const HANDLER = Buffer.from(
  '4c8b46104c8d0d351000004c8d15ee1f00004d3b0172064d3b4108722549' +
    '83c1204d39d172ecb80d000000bf07000000488d35d10f000031d241ba08' +
    '0000000f05c3534c89cb4c89c74881e700f0ffffbe00100000ba03000000' +
    '41ba3200000049c7c0ffffffff4531c9b8090000000f058b7b105b483d00' +
    'f0ffff77a9488d357c0f0000ba08000000b8010000000f05c3',
  'hex',
);
/** Places in the page of data behind it, in words of 8 bytes. */
const ONE = 0;
const RANGES = 8;
const RANGE_WORDS = 4;
const START = 0;
const END = 1;
const EVENT_FD = 2;

/** glibc's struct sigaction, in words of 4 bytes: handler, mask of 1024 bits, flags, restorer. */
const SIGACTION_WORDS = 38;
const SIGACTION_FLAGS = 34;

const cSigaction = libc<(signal: number, action: number, old: number) => number>(
  'int sigaction(int, int64_t, int64_t)',
);

export interface BusErrorWatch {
  /** Is written when a page of the range was missing. */
  readonly event: EventFd;
  /** The range is not mapped any more, or as memory that cannot go. */
  close(): void;
}

let ranges: BigUint64Array | undefined;

/** Watches addresses of this process, until it is closed. Undefined where that cannot be. Throws `SystemError`. */
export function watchBusErrors(address: number, length: number): BusErrorWatch | undefined {
  if (process.arch !== 'x64') return undefined;
  ranges ??= install();
  const words = ranges;
  let at = RANGES;
  while (at < words.length && words[at + END] !== 0n) at += RANGE_WORDS;
  if (at === words.length) return undefined;
  const event = EventFd.create();
  words[at + START] = BigInt(address);
  words[at + EVENT_FD] = BigInt(event.fd);
  Atomics.store(words, at + END, BigInt(address + length)); // from now on the handler looks at it
  const close = () => {
    Atomics.store(words, at + END, 0n);
    event.close();
  };
  return { event, close };
}

/** Installs the handler; returns its page of data. */
function install(): BigUint64Array {
  const address = mmap({ length: 2 * PAGE, flags: MAP_PRIVATE | MAP_ANONYMOUS });
  new Uint8Array(view(address, PAGE)).set(HANDLER);
  mprotect(address, PAGE, PROT_READ | PROT_EXEC);
  const words = new BigUint64Array(view(address + PAGE, PAGE));
  words[ONE] = 1n;
  const action = new Uint32Array(SIGACTION_WORDS);
  new BigUint64Array(action.buffer)[0] = BigInt(address);
  action[SIGACTION_FLAGS] = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
  check(cSigaction(SIGBUS, pin(action), 0), 'sigaction');
  return words;
}
