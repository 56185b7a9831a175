/* Runs x87 instructions on the host's own CPU: test states come in on standard input and go out changed. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

struct state {
  uint8_t fxsave[512];
  uint8_t code[8]; /* one instruction, filled up with RET; its memory operand is [rdi] */
  uint64_t flags;
  uint64_t rax;
  uint8_t memory[152];
} __attribute__((aligned(16)));

static void run(struct state *s, void *code) {
  __asm__ volatile("fxrstor64 (%0)\n\t"
                   "pushq 520(%0)\n\t"
                   "popfq\n\t"
                   "movq 528(%0), %%rax\n\t"
                   "leaq 536(%0), %%rdi\n\t"
                   "call *%1\n\t"
                   "movq %%rax, 528(%0)\n\t"
                   "pushfq\n\t"
                   "popq 520(%0)\n\t"
                   "cld\n\t"
                   "fxsave64 (%0)\n\t"
                   "fninit\n\t"
                   :
                   : "b"(s), "r"(code)
                   : "rax", "rdi", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
                     "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

int main(void) {
  static struct state s;
  uint8_t *page = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return 1;
  while (fread(&s, sizeof s, 1, stdin) == 1) {
    memcpy(page, s.code, 8);
    page[8] = 0xc3;
    run(&s, page);
    if (fwrite(&s, sizeof s, 1, stdout) != 1) return 1;
  }
  return fflush(stdout) != 0;
}
