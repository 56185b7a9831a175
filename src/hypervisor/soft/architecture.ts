/** Numbers that the architecture gives: exceptions, bits of registers, segment registers. */

/** Exceptions (SDM vol. 3, table 6-1). */
export const VECTOR = {
  de: 0,
  db: 1,
  nmi: 2,
  bp: 3,
  of: 4,
  br: 5,
  ud: 6,
  nm: 7,
  df: 8,
  ts: 10,
  np: 11,
  ss: 12,
  gp: 13,
  pf: 14,
  mf: 16,
  ac: 17,
  xm: 19,
} as const;
/** Those that push an error code. */
export const HAS_ERROR_CODE: readonly number[] = [
  VECTOR.df,
  VECTOR.ts,
  VECTOR.np,
  VECTOR.ss,
  VECTOR.gp,
  VECTOR.pf,
  VECTOR.ac,
];

/** Control registers (SDM vol. 3, 2.5). */
export const CR0 = {
  pe: 1,
  mp: 2,
  em: 4,
  ts: 8,
  et: 0x10,
  ne: 0x20,
  wp: 0x1_0000,
  am: 0x4_0000,
  nw: 0x2000_0000,
  cd: 0x4000_0000,
  pg: 0x8000_0000,
} as const;
export const CR4 = {
  vme: 1,
  pvi: 2,
  tsd: 4,
  de: 8,
  pse: 0x10,
  pae: 0x20,
  mce: 0x40,
  pge: 0x80,
  pce: 0x100,
  osfxsr: 0x200,
  osxmmexcpt: 0x400,
} as const;
/** The extended feature enable register (SDM vol. 3, 2.2.1). */
export const EFER = { sce: 1, lme: 0x100, lma: 0x400, nxe: 0x800 } as const;
/** Segment attributes: bits 0-7 the access byte, 12 AVL, 13 L, 14 D/B, 15 G. */
export const ATTR = {
  type: 0xf,
  s: 0x10,
  dpl: 0x60,
  present: 0x80,
  avl: 0x1000,
  l: 0x2000,
  db: 0x4000,
  g: 0x8000,
} as const;

/** RFLAGS (SDM vol. 1, 3.4.3). */
export const FLAG = {
  cf: 1 << 0,
  pf: 1 << 2,
  af: 1 << 4,
  zf: 1 << 6,
  sf: 1 << 7,
  tf: 1 << 8,
  if: 1 << 9,
  df: 1 << 10,
  of: 1 << 11,
  iopl: 3 << 12,
  nt: 1 << 14,
  rf: 1 << 16,
  vm: 1 << 17,
  ac: 1 << 18,
  vif: 1 << 19,
  vip: 1 << 20,
  id: 1 << 21,
} as const;
export const ARITHMETIC_FLAGS = FLAG.cf | FLAG.pf | FLAG.af | FLAG.zf | FLAG.sf | FLAG.of;

/** Segment registers, by the numbers that instructions have for them; then two that only the system uses. */
export const ES = 0;
export const CS = 1;
export const SS = 2;
export const DS = 3;
export const FS = 4;
export const GS = 5;
export const LDTR = 6;
export const TR = 7;
