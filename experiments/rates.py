"""How experiments choose a learning rate: the same search for every network, by what it reads of validation images."""

from collections.abc import Callable

RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)


def best_rate(score: Callable[[float], float], first: int) -> float:
    """The rate with the best score: of three, from RATES[first] on, and outwards while the best is the outermost.

    Of equal ones the smallest is taken.
    """
    last = first + 2
    while True:
        scores = [score(rate) for rate in RATES[first : last + 1]]
        best = first + scores.index(max(scores))
        if first < best < last or best in (0, len(RATES) - 1):
            return RATES[best]
        first, last = min(first, best - 1), max(last, best + 1)
