const HIGH = 2n ** 32n;
const MAX = 2n ** 64n - 1n;

/** Rules, arguments that each allows, and arguments that it does not. */
export const RULES: readonly [string, bigint[][], bigint[][]][] = [
  ['1', [[], [MAX]], []],
  ['allow', [[], [MAX]], []],
  ['kill', [], [[], [1n]]],
  ['arg0 == 5', [[5n]], [[4n], [6n], [5n + HIGH], [0n]]],
  ['arg0 != 5', [[4n], [5n + HIGH], [MAX]], [[5n]]],
  [
    'arg1 < 0x100000005',
    [
      [0n, HIGH + 4n],
      [0n, 9n],
    ],
    [
      [0n, HIGH + 5n],
      [0n, 2n * HIGH],
      [0n, MAX],
    ],
  ],
  [
    'arg1 <= 0x100000005',
    [
      [0n, HIGH + 5n],
      [0n, 9n],
    ],
    [
      [0n, HIGH + 6n],
      [0n, 2n * HIGH],
    ],
  ],
  [
    'arg1 > 0x100000005',
    [
      [0n, HIGH + 6n],
      [0n, 2n * HIGH],
    ],
    [
      [0n, HIGH + 5n],
      [0n, 9n],
    ],
  ],
  [
    'arg1 >= 0x100000005',
    [
      [0n, HIGH + 5n],
      [0n, 2n * HIGH],
    ],
    [
      [0n, HIGH + 4n],
      [0n, 9n],
    ],
  ],
  [
    'arg2 & 6',
    [
      [0n, 0n, 2n],
      [0n, 0n, 4n + HIGH],
      [0n, 0n, MAX],
    ],
    [[0n, 0n, 1n], [0n, 0n, 6n * HIGH], []],
  ],
  [
    'arg2 & 0x600000000',
    [[0n, 0n, 2n * HIGH]],
    [
      [0n, 0n, 6n],
      [0n, 0n, HIGH],
    ],
  ],
  [
    'arg2 in ~PROT_EXEC',
    [[0n, 0n, 3n], [], [0n, 0n, MAX - 4n]],
    [
      [0n, 0n, 4n],
      [0n, 0n, 7n],
      [0n, 0n, MAX],
    ],
  ],
  [
    'arg2 in PROT_READ|PROT_WRITE',
    [[], [0n, 0n, 3n]],
    [
      [0n, 0n, 4n],
      [0n, 0n, HIGH],
    ],
  ],
  ['arg5 == ~(1 | 0x2)', [[0n, 0n, 0n, 0n, 0n, MAX - 3n]], [[0n, 0n, 0n, 0n, 0n, 0xffff_fffcn]]],
  ['arg0 == AT_FDCWD', [[MAX - 99n]], [[100n]]],
  ['arg0 == -1', [[MAX]], [[0xffff_ffffn]]],
  ['arg0 == 010', [[8n]], [[10n]]],
  ['arg0 == 1 && arg1 == 2 || arg0 == 3', [[1n, 2n], [3n], [3n, 2n]], [[1n, 3n], [2n, 2n], []]],
  ['arg0==1||arg0==2||arg0==3&&arg1!=1', [[1n], [2n], [3n]], [[3n, 1n], [4n]]],
];
