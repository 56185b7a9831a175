// `mandelbrot scalar|packed SIZE`: the points of a SIZE by SIZE grid that stay bounded for 64 rounds, one point at a time
// with scalar doubles or two at a time with SSE2. Both print the same number.
#include <emmintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 64

static long scalar(int size) {
  long inside = 0;
  for (int row = 0; row < size; row++) {
    double ci = 2.0 * row / size - 1.0;
    for (int column = 0; column < size; column++) {
      double cr = 2.0 * column / size - 1.5, zr = 0, zi = 0, rr = 0, ii = 0;
      int round = 0;
      while (round < ROUNDS && rr + ii <= 4.0) {
        zi = (zr + zr) * zi + ci;
        zr = rr - ii + cr;
        rr = zr * zr;
        ii = zi * zi;
        round++;
      }
      inside += rr + ii <= 4.0;
    }
  }
  return inside;
}

static long packed(int size) {
  long inside = 0;
  const __m128d four = _mm_set1_pd(4.0);
  for (int row = 0; row < size; row++) {
    __m128d ci = _mm_set1_pd(2.0 * row / size - 1.0);
    for (int column = 0; column < size; column += 2) {
      __m128d cr = _mm_set_pd(2.0 * (column + 1) / size - 1.5, 2.0 * column / size - 1.5);
      __m128d zr = _mm_setzero_pd(), zi = zr, rr = zr, ii = zr;
      int bounded = 3;
      for (int round = 0; round < ROUNDS && bounded != 0; round++) {
        zi = _mm_add_pd(_mm_mul_pd(_mm_add_pd(zr, zr), zi), ci);
        zr = _mm_add_pd(_mm_sub_pd(rr, ii), cr);
        rr = _mm_mul_pd(zr, zr);
        ii = _mm_mul_pd(zi, zi);
        // A point that has left must not come back: its values may have become NaN or small by chance.
        bounded &= _mm_movemask_pd(_mm_cmple_pd(_mm_add_pd(rr, ii), four));
      }
      inside += (bounded & 1) + (bounded >> 1);
    }
  }
  return inside;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  int size = atoi(argv[2]) & ~1;
  printf("%ld\n", strcmp(argv[1], "packed") == 0 ? packed(size) : scalar(size));
  return 0;
}
