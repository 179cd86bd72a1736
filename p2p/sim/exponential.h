// Exponentially distributed numbers by comparisons of uniform ones alone (von Neumann, "Various techniques used in
// connection with random digits", 1951): no logarithm, whose last bit differs between mathematical libraries.
// Thread rule: a pure function of the generator that is given.
#pragma once

#include "p2p/random.h"

namespace oxbow::p2p::sim {

/// With mean 1. About four draws.
inline double exponential(Random& random) noexcept {
  for (double whole = 0;; whole += 1) {
    const double first = random.uniform();
    double last = first;
    bool odd = true;  // how long the run of falling numbers is
    for (double next = random.uniform(); next < last; next = random.uniform()) {
      last = next;
      odd = !odd;
    }
    if (odd) return whole + first;
  }
}

}  // namespace oxbow::p2p::sim
