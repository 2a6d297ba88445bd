"""Select the faults of a seed: always the same ones; twenty seeds in a row, from 1, 21, 41 …, have all of them."""

from random import Random

from faults.catalog import FAULTS

FULL_ROUND = 20


def select_faults(seed: int) -> list[str]:
    """Return the faults in order. Seeds begin at 1."""
    number, place = divmod(seed - 1, FULL_ROUND)
    names = sorted(FAULTS)
    Random(f"round {number}").shuffle(names)
    return names[place * len(names) // FULL_ROUND : (place + 1) * len(names) // FULL_ROUND]
