"""95 % intervals of means and shares whose parts are not independent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

__all__ = ["Interval", "Share", "ShareCount", "difference_interval", "mean_interval", "student_975"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % confidence interval."""

    low: float
    high: float

    def to_list(self) -> list[float]:
        """Its ends."""
        return [self.low, self.high]


@dataclass(frozen=True, slots=True)
class Share:
    """How many of some are so.

    Attributes:
        hits: how many are.
        of: of how many.
        interval: 95 % interval of the share, clustered by rollout; None when it cannot be told.
    """

    hits: int = 0
    of: int = 0
    interval: Interval | None = None

    @property
    def rate(self) -> float | None:
        """Hits per one; None of none."""
        return self.hits / self.of if self.of else None

    def to_dict(self) -> dict[str, Any]:
        """This share as a JSON object."""
        return {
            "hits": self.hits,
            "of": self.of,
            "rate": self.rate,
            "interval": None if self.interval is None else self.interval.to_list(),
        }


class ShareCount:
    """Counts a share cluster by cluster, in memory that does not grow with them."""

    __slots__ = ("_cross", "_of_squares", "_squares", "clusters", "hits", "of")

    def __init__(self) -> None:
        self.clusters = self.hits = self.of = 0
        self._squares = self._cross = self._of_squares = 0

    def add(self, hits: int, of: int) -> None:
        """Count one cluster; an empty one does not count."""
        if not of:
            return
        self.clusters += 1
        self.hits += hits
        self.of += of
        self._squares += hits * hits
        self._cross += hits * of
        self._of_squares += of * of

    def share(self) -> Share:
        """What was counted, with its interval as `mean_interval` has it for zeros and ones."""
        return Share(self.hits, self.of, self._interval())

    def _interval(self) -> Interval | None:
        if self.clusters < 2:
            return None
        # The sum over the clusters of (hits - share * of)^2, in whole numbers: no rounding makes it negative.
        of, hits = self.of, self.hits
        squares = (
            of * of * self._squares - 2 * of * hits * self._cross + hits * hits * self._of_squares
        ) / of**2
        return _wilson_clustered(hits / of, squares, self.clusters, of)


def mean_interval(groups: Sequence[Sequence[float]]) -> Interval | None:
    """A 95 % interval of the mean of rewards, clustered by task: samples of one task are not independent.

    With G tasks, n rewards r in all, their mean m and c_g = sum of (r - m) over the samples of task g,
    the standard error is s = sqrt(G / (G - 1) * sum of c_g^2) / n (cluster-robust with the usual
    small-sample factor: Cameron and Miller, "A Practitioner's Guide to Cluster-Robust Inference", 2015,
    section VI; E. Miller, "Adding Error Bars to Evals", 2024, section 2.2) and the interval is
    m +- t * s with Student's t at G - 1 degrees of freedom. With one sample per task this is the
    textbook t interval.

    Where every reward is 0 or 1 that interval leaves [0, 1] and has no width at 0 and at 1. There it
    is Wilson's score interval (Wilson, 1927) for n_e = m (1 - m) / s^2 observations, s without the
    small-sample factor and n_e held between G and n: exactly n with one sample per task, fewer the more
    the samples of a task agree, and G where m is 0 or 1 (effective sample size: Kish, "Survey
    Sampling", 1965).

    Args:
        groups: the rewards of each task; empty groups do not count.

    Returns:
        None with fewer than two tasks: how tasks differ cannot be told from one.
    """
    clusters = [group for group in groups if group]
    tasks, number = len(clusters), sum(map(len, clusters))
    if tasks < 2:
        return None
    mean = math.fsum(value for group in clusters for value in group) / number
    squares = math.fsum(math.fsum(value - mean for value in group) ** 2 for group in clusters)
    if all(value in (0, 1) for group in clusters for value in group):
        return _wilson_clustered(mean, squares, tasks, number)
    return _clustered(mean, squares, tasks, number)


def difference_interval(groups: Sequence[Sequence[float]]) -> Interval | None:
    """A 95 % interval of the mean of paired differences, clustered by task.

    That of `mean_interval` with Student's t, whatever the values.

    Args:
        groups: the differences of each task; empty groups do not count.

    Returns:
        None with fewer than two tasks, and where all differences are equal: that they would be in other
        tasks too cannot be told from it.
    """
    clusters = [group for group in groups if group]
    values = [value for group in clusters for value in group]
    if len(clusters) < 2 or len(set(values)) < 2:
        return None
    mean = math.fsum(values) / len(values)
    squares = math.fsum(math.fsum(value - mean for value in group) ** 2 for group in clusters)
    return _clustered(mean, squares, len(clusters), len(values))


def _clustered(mean: float, squares: float, clusters: int, number: int) -> Interval:
    half = student_975(clusters - 1) * math.sqrt(clusters / (clusters - 1) * squares) / number
    return Interval(mean - half, mean + half)


_Z = NormalDist().inv_cdf(0.975)

# Student's t, 0.975 quantile, 1 to 10 degrees of freedom; above, the expansion is right to 4 digits.
_T = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)


def student_975(freedom: int) -> float:
    """The 0.975 quantile of Student's t (Abramowitz and Stegun 26.7.5 above 10 degrees of freedom)."""
    if freedom <= len(_T):
        return _T[freedom - 1]
    z, v = _Z, freedom
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )


def _wilson_clustered(mean: float, squares: float, clusters: int, number: int) -> Interval:
    spread = mean * (1 - mean) * number**2
    effective = min(max(spread / squares if squares else number, clusters), number) if spread else clusters
    return _wilson(mean, effective)


def _wilson(share: float, number: float) -> Interval:
    square = _Z**2
    middle = (share + square / (2 * number)) / (1 + square / number)
    half = _Z / (1 + square / number) * math.sqrt(share * (1 - share) / number + square / (4 * number**2))
    return Interval(max(0.0, middle - half), min(1.0, middle + half))
