// Scalar double precision: a sun and four planets under gravity, N steps of a symplectic integrator.
// Prints the total energy at the end, which depends on every bit of every step.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define BODIES 5

struct body {
  double position[3], velocity[3], mass;
};

static struct body bodies[BODIES];

// Circular orbits, a little inclined; units in which the constant of gravity is 1.
static void place(void) {
  bodies[0].mass = 1;
  for (int i = 1; i < BODIES; i++) {
    double radius = 1 + 0.7 * i;
    double speed = sqrt(1 / radius);
    bodies[i] = (struct body){{radius, 0, 0.05 * i}, {0, speed, 0.01 * i}, 0.001 / i};
  }
}

static void step(double dt) {
  for (int i = 0; i < BODIES; i++) {
    for (int j = i + 1; j < BODIES; j++) {
      struct body *a = &bodies[i], *b = &bodies[j];
      double dx = a->position[0] - b->position[0];
      double dy = a->position[1] - b->position[1];
      double dz = a->position[2] - b->position[2];
      double square = dx * dx + dy * dy + dz * dz;
      double pull = dt / (square * sqrt(square));
      a->velocity[0] -= dx * b->mass * pull;
      a->velocity[1] -= dy * b->mass * pull;
      a->velocity[2] -= dz * b->mass * pull;
      b->velocity[0] += dx * a->mass * pull;
      b->velocity[1] += dy * a->mass * pull;
      b->velocity[2] += dz * a->mass * pull;
    }
  }
  for (int i = 0; i < BODIES; i++)
    for (int axis = 0; axis < 3; axis++) bodies[i].position[axis] += dt * bodies[i].velocity[axis];
}

static double energy(void) {
  double sum = 0;
  for (int i = 0; i < BODIES; i++) {
    const double *v = bodies[i].velocity;
    sum += 0.5 * bodies[i].mass * (v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
    for (int j = i + 1; j < BODIES; j++) {
      double square = 0;
      for (int axis = 0; axis < 3; axis++) {
        double d = bodies[i].position[axis] - bodies[j].position[axis];
        square += d * d;
      }
      sum -= bodies[i].mass * bodies[j].mass / sqrt(square);
    }
  }
  return sum;
}

int main(int argc, char **argv) {
  long steps = argc > 1 ? atol(argv[1]) : 1000;
  place();
  for (long i = 0; i < steps; i++) step(0.001);
  printf("%.17g\n", energy());
  return 0;
}
