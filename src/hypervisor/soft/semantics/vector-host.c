/* For tests: executes single vector instructions of the host's CPU on given operands (vector-host.ts). */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

struct record {
    uint8_t code[16];
    uint32_t length, mxcsr;
    uint64_t fault;
    uint8_t xmm[3][16];
    uint8_t memory[16];
    uint64_t mm[2];
    uint64_t rax, rdx, rcx, rbx, rsi, rflags;
};
_Static_assert(sizeof(struct record) == 160, "the layout that vector-host.ts has");

static uint8_t *code;
static struct record *current;

/* Notes the exception, masks them all and goes on behind the instruction. */
static void on_signal(int number, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    (void)info;
    current->fault = number;
    current->mxcsr = uc->uc_mcontext.fpregs->mxcsr;
    uc->uc_mcontext.fpregs->mxcsr |= 0x1f80;
    uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(code + current->length);
}

static void execute(struct record *r)
{
    uint32_t mxcsr;
    memcpy(code, r->code, r->length);
    code[r->length] = 0xc3; /* ret */
    current = r;
    register struct record *state asm("r12") = r;
    register uint8_t *target asm("r13") = code;
    asm volatile("ldmxcsr 20(%[r])\n movdqu 32(%[r]), %%xmm0\n movdqu 48(%[r]), %%xmm1\n movdqu 64(%[r]), %%xmm2\n"
                 "movq 96(%[r]), %%mm0\n movq 104(%[r]), %%mm1\n"
                 "mov 112(%[r]), %%rax\n mov 120(%[r]), %%rdx\n mov 128(%[r]), %%rcx\n mov 136(%[r]), %%rbx\n"
                 "mov 144(%[r]), %%rsi\n lea 80(%[r]), %%rdi\n pushq 152(%[r])\n popfq\n call *%[target]\n"
                 "pushfq\n popq 152(%[r])\n mov %%rax, 112(%[r])\n mov %%rdx, 120(%[r])\n mov %%rcx, 128(%[r])\n"
                 "mov %%rbx, 136(%[r])\n mov %%rsi, 144(%[r])\n"
                 "movq %%mm0, 96(%[r])\n movq %%mm1, 104(%[r])\n"
                 "movdqu %%xmm0, 32(%[r])\n movdqu %%xmm1, 48(%[r])\n movdqu %%xmm2, 64(%[r])\n"
                 "stmxcsr %[mxcsr]\n emms\n"
                 : [mxcsr] "=m"(mxcsr)
                 : [r] "r"(state), [target] "r"(target)
                 : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "xmm0", "xmm1", "xmm2", "memory", "cc");
    if (r->fault == 0)
        r->mxcsr = mxcsr;
    uint32_t usual = 0x1f80;
    asm volatile("ldmxcsr %0" : : "m"(usual));
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    sigaction(SIGFPE, &action, NULL);
    sigaction(SIGILL, &action, NULL);
    code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct record *r = aligned_alloc(16, sizeof *r);
    if (code == MAP_FAILED || r == NULL)
        return 1;
    while (fread(r, sizeof *r, 1, stdin) == 1) {
        execute(r);
        if (fwrite(r, sizeof *r, 1, stdout) != 1)
            return 1;
    }
    return 0;
}
