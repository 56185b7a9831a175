/** Where sequences run and what they can reach, on the host (harness.c has the same numbers) and in the machine. */
export const PAGE = 4096;
/** Readable, writable, executable. */
export const CODE = 0x1000_0000;
export const CODE_PAGES = 2;
/** Two writable pages, then one to be read only; around them nothing. */
export const DATA = 0x2000_0000;
export const STACK = 0x3000_0000;
/** The pages that the harness is given: DATA's, then the stack's. */
export const MEMORY_PAGES = 4;
export const READ_ONLY_PAGE = 2;
export const FS_BASE = DATA + 0x800;
export const GS_BASE = DATA + 0x1000;

/** Linear address of page `n` of the memory image. */
export function pageAddress(n: number): number {
  return n === MEMORY_PAGES - 1 ? STACK : DATA + n * PAGE;
}

/** Bytes of struct test_case and struct result of harness.c, and where their fields are. */
export const CASE_SIZE = 896;
export const CASE = { offset: 0, length: 4, rflags: 8, gpr: 16, codeSegment: 144, code: 160, fxsave: 384 } as const;
export const MAX_CODE = 224;
export const RESULT_SIZE = 688;
export const RESULT = {
  signal: 0,
  code: 4,
  address: 8,
  rip: 16,
  rflags: 24,
  gpr: 32,
  trap: 160,
  error: 164,
  changes: 168,
  fxsave: 176,
} as const;
/** Selectors of Linux's user code. */
export const CODE_SEGMENT_64 = 0x33;
export const CODE_SEGMENT_32 = 0x23;
export const DATA_SEGMENT = 0x2b;
