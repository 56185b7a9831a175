# The program of init-program.ts, whose bytes stand there: init-program.test.ts compares them. What it does is in the rows
# that follow it, 64 bytes each: the number of a system call, 5 arguments, the address of what to print if it fails (0:
# nothing), and in the last 8 bytes how long that is and whether to go on then.
start:
  leaq 8(%rsp), %r13              # argv
  movq (%rsp), %rax               # argc
  leaq 8(%r13,%rax,8), %r14       # envp
  leaq rows(%rip), %rbx
next:
  movq (%rbx), %rax
  movq 8(%rbx), %rdi
  movq 16(%rbx), %rsi
  movq 24(%rbx), %rdx
  movq 32(%rbx), %r10
  movq 40(%rbx), %r8
  cmpl $59, %eax                  # execve(path, argv, envp): as the kernel has given them, but for argv[0]
  jne 1f
  movq %rdi, (%r13)
  movq %r13, %rsi
  movq %r14, %rdx
1: syscall
  testq %rax, %rax
  js failed
done:
  addq $64, %rbx
  jmp next
failed:
  negq %rax
  movq %rax, %r12
  movq 48(%rbx), %rsi             # write(2, text, length)
  testq %rsi, %rsi
  jz 4f
  movl 56(%rbx), %edx
  call print
  subq $16, %rsp                  # the errno in digits, and the end of the line
  leaq 15(%rsp), %rsi
  movb $10, (%rsi)
  movl %r12d, %eax
  movl $10, %ecx
3: xorl %edx, %edx
  divl %ecx
  addb $48, %dl
  decq %rsi
  movb %dl, (%rsi)
  testl %eax, %eax
  jnz 3b
  leaq 16(%rsp), %rdx
  subq %rsi, %rdx
  call print
  addq $16, %rsp
4: cmpl $0, 60(%rbx)
  jne done
  movl $1, %edi                   # exit(1)
  movl $60, %eax
  syscall
print:
  movl $2, %edi
  movl $1, %eax
  syscall
  ret
  .balign 8, 0xcc
rows:
