/** A guest that writes new functions for ever and makes each of them hot. */
import { assemble } from '../bare-metal/assemble.ts';

/** Where functions are written, by turns from the start to the end; what was there is overwritten. */
export const AREA = 0x40_0000;
export const AREA_SIZE = 0x10_0000;
export const STRIDE = 128;
/** Times that the loop in each function goes round. */
export const ROUNDS = 60;

/**
 * Function n makes some jumps, each a block of its own, and adds n to EBX, ROUNDS times. Ends behind `functions` of them
 * with EBX at port 80.
 */
export function churnGuest(functions: number): Uint8Array {
  return assemble(`.code32
    movl $${AREA}, %edi
    xorl %edx, %edx
    xorl %ebx, %ebx
    1: movl $0x00eb00eb, (%edi)         # jmp to what follows, six times
    movl $0x00eb00eb, 4(%edi)
    movl $0x00eb00eb, 8(%edi)
    movb $0xb9, 12(%edi)                # mov ecx, ROUNDS
    movl $${ROUNDS}, 13(%edi)
    movw $0xc381, 17(%edi)              # 1: add ebx, n
    movl %edx, 19(%edi)
    movl $0xc3f77549, 23(%edi)          # dec ecx; jnz 1b; ret
    call *%edi
    incl %edx
    addl $${STRIDE}, %edi
    cmpl $${AREA + AREA_SIZE}, %edi
    jb 2f
    movl $${AREA}, %edi
    2: cmpl $${functions}, %edx
    jb 1b
    movl %ebx, %eax
    outl %eax, $0x80
    exit 0`);
}

/** What EBX is at the end. */
export function sumOfFunctions(functions: number): number {
  let sum = 0;
  for (let n = 0; n < functions; n++) sum = (sum + n * ROUNDS) >>> 0;
  return sum;
}
