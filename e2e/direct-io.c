#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
/*
 * FILE DISK: reads 32 KiB of the disk straight into the file, which is mapped, and writes them from there to where they end
 * on the disk.
 */
int main(int argc, char **argv) {
  int file = open(argv[1], O_RDWR | O_CREAT, 0600), disk = open(argv[2], O_RDWR | O_DIRECT);
  if (ftruncate(file, 1 << 16) < 0) { perror("ftruncate"); return 1; }
  char *bytes = mmap(0, 1 << 16, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (bytes == MAP_FAILED) { perror("mmap"); return 1; }
  memset(bytes, 1, 1 << 16);
  if (pread(disk, bytes, 1 << 15, 0) != 1 << 15) { perror("pread"); return 1; }
  if (pwrite(disk, bytes, 1 << 15, 1 << 15) != 1 << 15) { perror("pwrite"); return 1; }
  msync(bytes, 1 << 16, MS_SYNC);
  printf("%d %d\n", bytes[100], bytes[(1 << 15) + 5]);
  return 0;
}
