// `matrix SIZE ROUNDS`: multiplies SIZE by SIZE matrices of doubles with packed SSE2, ROUNDS times over, each product
// scaled down and multiplied again. Prints the sum of the last one.
#include <emmintrin.h>
#include <stdio.h>
#include <stdlib.h>

static double *matrix(int size) {
  double *cells = aligned_alloc(16, sizeof(double) * size * size);
  if (cells == NULL) exit(1);
  return cells;
}

static void multiply(int size, const double *a, const double *b, double *product, double scale) {
  for (int row = 0; row < size; row++) {
    for (int column = 0; column < size; column += 4) {
      __m128d low = _mm_setzero_pd(), high = low;
      for (int k = 0; k < size; k++) {
        __m128d factor = _mm_set1_pd(a[row * size + k]);
        low = _mm_add_pd(low, _mm_mul_pd(factor, _mm_load_pd(&b[k * size + column])));
        high = _mm_add_pd(high, _mm_mul_pd(factor, _mm_load_pd(&b[k * size + column + 2])));
      }
      _mm_store_pd(&product[row * size + column], _mm_mul_pd(low, _mm_set1_pd(scale)));
      _mm_store_pd(&product[row * size + column + 2], _mm_mul_pd(high, _mm_set1_pd(scale)));
    }
  }
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  int size = atoi(argv[1]) & ~3, rounds = atoi(argv[2]);
  double *a = matrix(size), *b = matrix(size), *product = matrix(size);
  for (int i = 0; i < size * size; i++) {
    a[i] = (i % 17) / 17.0;
    b[i] = (i % 23) / 11.0; // 1 on average, so that products neither vanish nor grow
  }
  for (int round = 0; round < rounds; round++) {
    multiply(size, a, b, product, 1.0 / size);
    double *last = a;
    a = product;
    product = last;
  }
  double sum = 0;
  for (int i = 0; i < size * size; i++) sum += a[i];
  printf("%.17g\n", sum);
  return 0;
}
