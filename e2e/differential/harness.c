/*
 * Runs instruction sequences on this machine's CPU. Standard input: struct header, the pages of memory, then `count`
 * struct test_case. Standard output: for each a struct result and its changed words. Every sequence is entered by the
 * return from a signal handler, which loads all of the registers, and left by the next signal.
 *
 * Nothing here may need thread-local storage once FS belongs to the sequences: no stack protector, no errno.
 */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

enum { PAGE = 4096, CODE_PAGES = 2, MEMORY_PAGES = 4, READ_ONLY = 2, STACK = 3, MAX_CODE = 224 };
#define CODE 0x10000000ul
#define DATA 0x20000000ul
#define STACK_PAGE 0x30000000ul
#define FS_BASE 0x20000800ul
#define GS_BASE 0x20001000ul

struct header {
  uint32_t magic;
  uint32_t count;
};

struct test_case {
  uint32_t offset; /* of the code in its pages */
  uint32_t length;
  uint64_t rflags;
  uint64_t gpr[16];
  uint32_t code_segment;
  uint32_t unused[3];
  uint8_t code[MAX_CODE];
  uint8_t fxsave[512];
};

struct result {
  uint32_t signal;
  uint32_t code; /* si_code */
  uint64_t address;
  uint64_t rip;
  uint64_t rflags;
  uint64_t gpr[16];
  uint32_t trap;
  uint32_t error;
  uint32_t changes;
  uint32_t unused;
  uint8_t fxsave[512];
};

struct change {
  uint64_t address;
  uint64_t value;
};

static const int GREGS[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                              REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static struct header header;
static uint8_t memory[MEMORY_PAGES * PAGE];
static uint8_t code[CODE_PAGES * PAGE];
static struct test_case current;
static uint32_t next_case;
static uint32_t seen_by_timer;
static uint8_t signal_stack[65536];
static uint8_t input[1 << 20];
static size_t input_at, input_end;
static uint8_t output[1 << 20];
static size_t output_end;

static long system_call(long number, long a, long b, long c) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return result;
}

static void leave(int status) {
  for (;;) system_call(SYS_exit_group, status, 0, 0);
}

static void copy(void *to, const void *from, size_t size) {
  __asm__ volatile("cld; rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

static void read_bytes(void *to, size_t size) {
  uint8_t *out = to;
  while (size > 0) {
    if (input_at == input_end) {
      long n = system_call(SYS_read, 0, (long)input, sizeof input);
      if (n == -4) continue; /* EINTR */
      if (n <= 0) leave(3);
      input_at = 0;
      input_end = n;
    }
    size_t n = input_end - input_at < size ? input_end - input_at : size;
    copy(out, input + input_at, n);
    input_at += n;
    out += n;
    size -= n;
  }
}

static void flush(void) {
  for (size_t at = 0; at < output_end;) {
    long n = system_call(SYS_write, 1, (long)(output + at), output_end - at);
    if (n == -4) continue;
    if (n <= 0) leave(4);
    at += n;
  }
  output_end = 0;
}

static void write_bytes(const void *from, size_t size) {
  if (output_end + size > sizeof output) flush();
  copy(output + output_end, from, size);
  output_end += size;
}

static uint64_t address_of(int page) {
  return page == STACK ? STACK_PAGE : DATA + (uint64_t)page * PAGE;
}

/* What the sequence wrote to `size` bytes at `at`: gives the number of changed words, and reports them if asked to. */
static uint32_t compare(uint64_t at, const uint8_t *before, size_t size, int report) {
  const uint64_t *now = (const uint64_t *)at;
  const uint64_t *old = (const uint64_t *)before;
  uint32_t count = 0;
  for (size_t i = 0; i < size / 8; i++) {
    if (now[i] == old[i]) continue;
    count++;
    if (report) {
      struct change change = {at + i * 8, now[i]};
      write_bytes(&change, sizeof change);
    }
  }
  return count;
}

static uint32_t changes(int report) {
  uint32_t count = compare(CODE, code, sizeof code, report);
  for (int page = 0; page < MEMORY_PAGES; page++) {
    if (page != READ_ONLY) count += compare(address_of(page), memory + page * PAGE, PAGE, report);
  }
  return count;
}

static void report(int signal, const siginfo_t *info, const ucontext_t *context) {
  static struct result result;
  const greg_t *gregs = context->uc_mcontext.gregs;
  result.signal = signal;
  result.code = info->si_code;
  result.address = (uint64_t)info->si_addr;
  result.rip = gregs[REG_RIP];
  result.rflags = gregs[REG_EFL];
  for (int i = 0; i < 16; i++) result.gpr[i] = gregs[GREGS[i]];
  result.trap = gregs[REG_TRAPNO];
  result.error = gregs[REG_ERR];
  copy(result.fxsave, context->uc_mcontext.fpregs, 512);
  result.changes = changes(0);
  write_bytes(&result, sizeof result);
  changes(1);
}

static void load(ucontext_t *context) {
  read_bytes(&current, sizeof current);
  for (int page = 0; page < MEMORY_PAGES; page++) {
    if (page != READ_ONLY) copy((void *)address_of(page), memory + page * PAGE, PAGE);
  }
  memset(code, 0xcc, sizeof code);
  copy(code + current.offset, current.code, current.length);
  copy((void *)CODE, code, sizeof code);
  greg_t *gregs = context->uc_mcontext.gregs;
  for (int i = 0; i < 16; i++) gregs[GREGS[i]] = current.gpr[i];
  gregs[REG_RIP] = CODE + current.offset;
  gregs[REG_EFL] = current.rflags;
  gregs[REG_CSGSFS] = (gregs[REG_CSGSFS] & ~0xffffl) | current.code_segment;
  copy(context->uc_mcontext.fpregs, current.fxsave, 416);
}

static void handle(int signal, siginfo_t *info, void *user_context) {
  static int started;
  ucontext_t *context = user_context;
  if (signal == SIGALRM) {
    int stuck = seen_by_timer == next_case;
    seen_by_timer = next_case;
    if (!stuck || !started) return;
  }
  if (started) report(signal, info, context);
  started = 1;
  if (next_case++ == header.count) {
    flush();
    leave(0);
  }
  load(context);
}

static void map(uint64_t at, size_t size, int protection) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
  if (mmap((void *)at, size, protection, flags, -1, 0) != (void *)at) leave(2);
}

int main(void) {
  read_bytes(&header, sizeof header);
  read_bytes(memory, sizeof memory);
  if (header.magic != 0x31464944) leave(5);
  map(CODE, CODE_PAGES * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
  map(DATA, (READ_ONLY + 1) * PAGE, PROT_READ | PROT_WRITE);
  map(STACK_PAGE, PAGE, PROT_READ | PROT_WRITE);
  copy((void *)(DATA + READ_ONLY * PAGE), memory + READ_ONLY * PAGE, PAGE);
  mprotect((void *)(DATA + READ_ONLY * PAGE), PAGE, PROT_READ);

  stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof signal_stack};
  sigaltstack(&stack, 0);
  struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigfillset(&action.sa_mask);
  const int signals[] = {SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGBUS, SIGALRM};
  for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) sigaction(signals[i], &action, 0);
  struct itimerval tick = {{0, 200000}, {0, 200000}};
  setitimer(ITIMER_REAL, &tick, 0);

  /* Compatibility mode needs usable data segments. */
  __asm__ volatile("mov %0, %%ds; mov %0, %%es" : : "r"(0x2b));
  system_call(SYS_arch_prctl, ARCH_SET_GS, GS_BASE, 0);
  system_call(SYS_arch_prctl, ARCH_SET_FS, FS_BASE, 0);
  __asm__ volatile("int3");
  return 6;
}
