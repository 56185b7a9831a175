/**
 * The layout of one vCPU's state in the WebAssembly memory. Everything is at a constant offset from the vCPU's block, so
 * that generated code reads it with one instruction.
 *
 * A *slot* is 8 bytes among the first 256: the general registers, then constants and temporaries that micro-operations
 * use like registers. Micro-operations name a slot by its byte offset, which is why AH is rax + 1.
 */

/** Slots, by byte offset. */
export const SLOT = {
  /** General register n is at 8 * n. */
  rax: 0,
  rcx: 8,
  rdx: 16,
  rbx: 24,
  rsp: 32,
  rbp: 40,
  rsi: 48,
  rdi: 56,
  r11: 88,
  /** Always zero: the base or index of an address that has none. */
  zero: 128,
  /** Linear address of the code page that runs: the base of RIP-relative addresses. */
  page: 136,
  /** An address that a micro-operation computed for the next ones. */
  ea: 144,
  /** Temporaries of the instruction that runs. Loads and stores of memory operands go through t1 (and t2 for 16 bytes). */
  t1: 152,
  t2: 160,
  t3: 168,
} as const;

/** Vector registers are named by number: XMM0-15, then two temporaries of the instruction that runs. */
export const XMM_TEMP = 16;
/** MMX register n is vector register MMX_FIRST + n: the x87 registers lie behind the XMM registers and temporaries. */
export const MMX_FIRST = 18;

/** Byte offsets of the rest of the block. */
export const CPU = {
  /** Arithmetic flags, not yet computed: flags.ts. */
  flagResult: 256,
  flagCarry: 264,
  flagOther: 272,
  /** What the last compiled region left of the flags (jit/jit-flags.ts): only while such regions follow each other. */
  keptKind: 1136,
  keptX: 1144,
  keptY: 1152,
  keptZ: 1160,
  keptCf: 1176,
  keptOf: 1184,
  /** RFLAGS without the six arithmetic flags; bit 1 is always set. */
  eflags: 276,
  /** RIP: exact only outside the interpreter loop and in callouts. */
  rip: 280,
  /** 0, or 1 + vector of a fault that a memory access met; with its error code and address. */
  fault: 288,
  faultError: 292,
  faultAddress: 296,
  /** Others store -2^31 here to make the vCPU look up at the next block end; 0 otherwise. */
  attention: 304,
  /** Linear address of the code that was looked up last. */
  fetchAddress: 1120,
  /** Not 0: run() is to come back. Others store it, then ask for attention. */
  kicked: 1112,
  /** Not 0: the TLB must be flushed before anything else is executed. Others store it, then ask for attention. */
  flushAsked: 1116,
  /** Not 0: compiled code has been overwritten or dropped since the word was cleared. */
  codeChanged: 1132,
  /** The jump cell to enter what is at CPU.rip into, or 0: for chain.ts, from the region that was just left. */
  jumpCell: 1192,
  /** Cells of the returns to come: a ring of offsets from AREA.jumpCells, and how many were ever pushed, less those popped. */
  returnTop: 1196,
  returns: 1216,
  /** PAUSE instructions executed since the vCPU last looked up. */
  pauses: 1168,
  /** The JIT's unit of time (jit/jit.ts): block headers forget half of what they have counted when it changes. */
  jitEpoch: 1172,
  /** Not 0 while run() is under way. */
  running: 1128,
  /** Not 0 while the vCPU's thread sleeps, or is about to: who asks for attention then has to wake it. */
  asleep: 1200,
  /** Not 0: an interrupt waits until RFLAGS.IF is set. */
  interruptWaits: 308,
  /** Instructions left until the vCPU looks up by itself. */
  budget: 312,
  /** Address of the TLB of the current privilege. */
  tlb: 316,
  /** 0-3. */
  cpl: 320,
  /** What decoded code depends on, besides its bytes: modes.ts. */
  mode: 324,
  /** Tags that valid entries of the jump cache carry, for addresses of the lower and upper half. */
  jumpTagLow: 328,
  jumpTagHigh: 332,
  /** The bits that linear addresses of code and data have: 2^64-1 in 64-bit mode, 2^32-1 otherwise. */
  ripMask: 336,
  /** Base of CS: 0 in 64-bit mode. */
  csBase: 344,
  cr0: 352,
  cr2: 360,
  cr3: 368,
  cr4: 376,
  efer: 384,
  /** Where the 8 bytes of an MMIO or port access travel between WebAssembly and TypeScript. */
  io: 392,
  /** WebAssembly address of what Emit.loadForStore() loaded; 0: the store back needs the MMU. */
  storeBack: 400,
  /** Segment registers ES CS SS DS FS GS, then LDTR and TR: SEGMENT_SIZE bytes each. */
  segments: 416,
  /** XMM0-15 and the temporaries, 16 bytes each. */
  xmm: 640,
  /** Physical x87 registers R0-R7, 16 bytes each: 64-bit significand, then sign and exponent in 16 bits; MMX in them. */
  x87: 928,
  /** u16 words. TOP is only in x87Status. x87Tag has 1 bit a register: 1 if it is not empty (as FXSAVE's). */
  x87Control: 1056,
  x87Status: 1058,
  x87Tag: 1060,
  x87Opcode: 1062,
  /** u64 instruction and data pointers, u16 selectors. */
  x87Ip: 1064,
  x87Dp: 1072,
  x87Cs: 1080,
  x87Ds: 1082,
  mxcsr: 1084,
  /** Where the entry that the TLB filler works on was put; scratch of the MMU. */
  scratch: 1096,

  // What only system/ uses. Bases are u64, limits u32.
  gdtrBase: 2048,
  gdtrLimit: 2056,
  idtrLimit: 2060,
  idtrBase: 2064,
  /** DR0-DR3, u64 each; DR6 and DR7. */
  dr: 2072,
  dr6: 2104,
  dr7: 2112,
  // Model-specific registers, u64 each.
  star: 2120,
  lstar: 2128,
  cstar: 2136,
  sfmask: 2144,
  kernelGsBase: 2152,
  sysenterCs: 2160,
  sysenterEsp: 2168,
  sysenterEip: 2176,
  pat: 2184,
  mtrrDefType: 2192,
  /** The 11 fixed ranges in the order of their MSR numbers, then base and mask of the 8 variable ones. */
  mtrrFixed: 2200,
  mtrrVariable: 2288,
  tscAux: 2416,
  miscEnable: 2424,
  /** kvmclock's two MSRs as they were last written. */
  kvmWallClock: 2432,
  kvmSystemTime: 2440,
  /** u32: 1 from the delivery of an NMI to the next IRET. */
  nmiBlocked: 2448,
  /** u32: set by MOV SS, POP SS and STI; no interrupt may come before one more instruction has been executed. */
  interruptShadow: 2452,

  // Where time is instructions (instruction-clock.ts).
  /** f64: the VM's clock in nanoseconds, as of the last time the loop was left. */
  time: 2560,
  /** u64: where the numbers that RDRAND gives go on. */
  random: 2568,

  // Counters, f64 each: only the vCPU's thread writes them, any thread reads them at any time (an aligned f64 is
  // written as a whole, is exact up to 2^53, and costs TypeScript no BigInt). They start with the
  // VM and, but for those that say so, never decrease.
  /** Instructions executed, as of the last time the loop was left. */
  instructions: 3072,
  /** Times that the loop was entered. */
  entries: 3080,
  /** Accesses to data that the TLB did not let through: page walks, without those for code. */
  tlbMisses: 3088,
  /** Accesses outside of RAM, by kind. */
  portReads: 3096,
  portWrites: 3104,
  mmioReads: 3112,
  mmioWrites: 3120,
  /** Instructions that TypeScript executed: of the system, of the x87, and SSE arithmetic that needs exact rounding. */
  systemCallouts: 3128,
  x87Callouts: 3136,
  exactCallouts: 3144,
  halts: 3152,
  /** Interrupts and NMIs delivered. */
  interrupts: 3160,
  /** INT n, INT3 and INTO delivered. */
  softwareInterrupts: 3168,
  /** Code looked up by TypeScript, because neither a link nor the jump cache knew it. */
  codeLookups: 3176,
  /** Blocks decoded, and those taken out of use because their code was overwritten. */
  blocksMade: 3184,
  blocksInvalidated: 3192,
  /** Times that all decoded code was dropped because its space was used up. */
  codeDrops: 3200,
  /** Blocks that are held. Goes up and down. */
  blocks: 3208,

  // The JIT's part of the counters.
  /** Regions, their bytes of WebAssembly, and modules that are live. These go up and down. */
  jitRegions: 3216,
  jitBytes: 3224,
  jitModules: 3232,
  /** Regions compiled; regions dropped because their code was overwritten; regions dropped to make room. */
  jitCompiled: 3240,
  jitInvalidated: 3248,
  jitDropped: 3256,
  /** Regions that were compiled by earlier runs. */
  jitKept: 3264,

  /** Exceptions delivered, one counter for each of the EXCEPTION_VECTORS. */
  exceptions: 3328,
} as const;

/** Vectors 0 to 31 are those of exceptions. */
export const EXCEPTION_VECTORS = 32;

/** Bytes of a vCPU's block. */
export const CPU_SIZE = 4096;

/** Places in the ring CPU.returns: a power of two. */
export const RETURNS = 32;

/** Within an entry of CPU.segments. */
export const SEGMENT = {
  base: 0,
  /** In bytes, already scaled. */
  limit: 8,
  /** The descriptor's access byte (bits 0-7) and AVL, L, D/B, G (bits 12-15); 0 when the register is unusable. */
  attributes: 12,
  selector: 16,
  /**
   * Legacy modes: bytes from offset 0 on that may be read and written without another check, as far as 32 bits can say
   * it (a limit of 4 GiB gives 2^32 - 1); 0 where each access needs all checks. CpuState.updateMode() computes it.
   */
  span: 20,
} as const;
export const SEGMENT_SIZE = 24;
