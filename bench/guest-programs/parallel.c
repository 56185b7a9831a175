// `parallel PROCESSES ROUNDS`: a fixed amount of integer work and memory traffic, divided among processes, whose number
// divides CHUNKS. Prints a checksum that does not depend on it.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHUNKS 16
#define TABLE 4096

static uint64_t chunk(uint64_t seed, long rounds) {
  static uint64_t table[TABLE];
  uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
  for (int i = 0; i < TABLE; i++) table[i] = seed + i;
  for (long i = 0; i < rounds; i++) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    uint64_t *cell = &table[state % TABLE];
    *cell = *cell * 5 + state;
    if (*cell & 1) state += *cell;
  }
  return state;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  int processes = atoi(argv[1]);
  long rounds = atol(argv[2]);
  uint64_t *results =
      mmap(NULL, CHUNKS * sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (processes < 1 || CHUNKS % processes != 0 || results == MAP_FAILED) return 2;
  for (int p = 0; p < processes; p++) {
    pid_t child = fork();
    if (child < 0) return 1;
    if (child == 0) {
      for (int i = p; i < CHUNKS; i += processes) results[i] = chunk(i, rounds);
      _exit(0);
    }
  }
  for (int p = 0, status; p < processes; p++)
    if (wait(&status) < 0 || status != 0) return 1;
  uint64_t sum = 0;
  for (int i = 0; i < CHUNKS; i++) sum = sum * 31 + results[i];
  printf("%016llx\n", (unsigned long long)sum);
  return 0;
}
