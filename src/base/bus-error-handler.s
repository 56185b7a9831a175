# The handler of SIGBUS that bus-errors.ts installs, whose bytes stand there: bus-errors.test.ts compares them. A page of
# data follows at start + 4096: the number 1 as 8 bytes, 32 zero bytes, and from byte 64 on the watched ranges, 32 bytes
# each: first address, first address behind, an eventfd.
start:
  movq 16(%rsi), %r8              # siginfo_t.si_addr
  leaq start+4096+64(%rip), %r9
  leaq start+8192(%rip), %r10
1: cmpq (%r9), %r8
  jb 2f
  cmpq 8(%r9), %r8
  jb 4f
2: addq $32, %r9
  cmpq %r10, %r9
  jb 1b
# It is nobody's: rt_sigaction(SIGBUS, default, 0, 8), and the access is made again.
3: movl $13, %eax
  movl $7, %edi
  leaq start+4096+8(%rip), %rsi
  xorl %edx, %edx
  movl $8, %r10d
  syscall
  ret
# mmap(page, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
4: pushq %rbx
  movq %r9, %rbx
  movq %r8, %rdi
  andq $-4096, %rdi
  movl $4096, %esi
  movl $3, %edx
  movl $0x32, %r10d
  movq $-1, %r8
  xorl %r9d, %r9d
  movl $9, %eax
  syscall
  movl 16(%rbx), %edi
  popq %rbx
  cmpq $-4096, %rax
  ja 3b
# write(eventfd, one, 8)
  leaq start+4096(%rip), %rsi
  movl $8, %edx
  movl $1, %eax
  syscall
  ret
