// `process fork|exec|pipe|fault|getpid N`: does one thing of an operating system N times and prints N.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define FAULT_PAGES 256
#define PAGE 4096

static const char *program;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void await(pid_t child) {
  int status;
  if (child < 0) fail("fork");
  if (waitpid(child, &status, 0) != child || status != 0) fail("child");
}

static void forkOnce(void) {
  pid_t child = fork();
  if (child == 0) _exit(0);
  await(child);
}

// A fork and a program started anew: this one, which ends at once.
static void execOnce(void) {
  pid_t child = fork();
  if (child == 0) {
    execl(program, program, "getpid", "0", (char *)NULL);
    _exit(127);
  }
  await(child);
}

// Two processes hand one byte to and fro: two switches each time.
static void pingPong(long times) {
  int there[2], back[2];
  char byte = 'x';
  if (pipe(there) != 0 || pipe(back) != 0) fail("pipe");
  pid_t child = fork();
  if (child == 0) {
    close(there[1]);
    while (read(there[0], &byte, 1) == 1)
      if (write(back[1], &byte, 1) != 1) _exit(1);
    _exit(0);
  }
  for (long i = 0; i < times; i++)
    if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) fail("pipe");
  close(there[1]);
  await(child);
}

// Pages that the kernel must find, clear and map, and take back again.
static void faultOnce(void) {
  volatile char *pages = mmap(NULL, FAULT_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) fail("mmap");
  for (int i = 0; i < FAULT_PAGES; i++) pages[i * PAGE] = 1;
  munmap((void *)pages, FAULT_PAGES * PAGE);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  program = argv[0];
  long times = atol(argv[2]);
  const char *what = argv[1];
  if (strcmp(what, "pipe") == 0) {
    pingPong(times);
  } else {
    for (long i = 0; i < times; i++) {
      if (strcmp(what, "fork") == 0) forkOnce();
      else if (strcmp(what, "exec") == 0) execOnce();
      else if (strcmp(what, "fault") == 0) faultOnce();
      else if (strcmp(what, "getpid") == 0) syscall(SYS_getpid);
      else return 2;
    }
  }
  if (times != 0) printf("%ld\n", times);
  return 0;
}
