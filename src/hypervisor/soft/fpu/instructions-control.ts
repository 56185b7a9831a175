/** Control instructions (Intel SDM vol. 1, 8.3.11), but for those that move whole images (environment.ts). */
import { type Instruction, memoryBits, toMemory } from './instruction.ts';
import { type RegisterStack, STATUS } from './register-stack.ts';

function clearC1(s: RegisterStack): void {
  s.status &= ~STATUS.c1;
}

export const CONTROL: Readonly<Record<string, Instruction>> = {
  fldcw: (s) => {
    s.control = Number(memoryBits(s) & 0xffffn);
    return undefined;
  },
  fnstcw: (s) => {
    toMemory(s, BigInt(s.control));
    return undefined;
  },
  fnstsw: (s) => {
    toMemory(s, BigInt(s.status));
    return undefined;
  },
  fnclex: (s) => {
    s.status &= ~(STATUS.exceptions | STATUS.stackFault);
    return undefined;
  },
  fincstp: (s) => {
    s.top++;
    clearC1(s);
    return undefined;
  },
  fdecstp: (s) => {
    s.top--;
    clearC1(s);
    return undefined;
  },
  ffree: (s, a) => {
    s.free(a);
    clearC1(s);
    return undefined;
  },
  ffreep: (s, a) => {
    s.free(a);
    s.pop();
    clearC1(s);
    return undefined;
  },
  fnop: () => undefined,
  fwait: () => undefined,
  // Intel's processors leave TOP alone, AMD's do not; after any other MMX instruction it is 0 anyway.
  emms: (s) => {
    s.tags = 0;
    s.top = 0;
    return undefined;
  },
};
