"""Interleaved pairs, ratios and what they are worth."""

import random
import statistics
import time

NULL_LOW, NULL_HIGH = 0.97, 1.03


class Pairs:
    """Samples of A and B taken in the order A B B A A B B A …, so that a drift of the machine hits both alike."""

    def __init__(self, sample_a, sample_b, count, budget_s, fewest=3):
        """`budget_s`: no further pair is begun when that much time has gone, but at least `fewest` are."""
        self.a, self.b = [], []
        began = time.monotonic()
        for index in range(count):
            if index >= fewest and time.monotonic() - began > budget_s:
                break
            if index % 2 == 0:
                self.a.append(sample_a())
                self.b.append(sample_b())
            else:
                self.b.append(sample_b())
                self.a.append(sample_a())

    def ratio(self, of=lambda sample: sample):
        return Ratio([of(a) / of(b) for a, b in zip(self.a, self.b)])

    def median_a(self, of=lambda sample: sample):
        return statistics.median(map(of, self.a))

    def median_b(self, of=lambda sample: sample):
        return statistics.median(map(of, self.b))


class Ratio:
    """The median of pairwise ratios with its 95 % bootstrap interval. No outlier is dropped."""

    def __init__(self, ratios):
        self.ratios = ratios
        self.median = statistics.median(ratios)
        chance = random.Random(1)
        medians = sorted(statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(2000))
        self.low, self.high = medians[50], medians[1949]

    @property
    def pairs(self):
        return len(self.ratios)

    @property
    def undisturbed(self):
        """For a null test, A against A."""
        return NULL_LOW <= self.median <= NULL_HIGH

    def __str__(self):
        return f"{self.median:.2f} ({self.low:.2f}–{self.high:.2f})"
