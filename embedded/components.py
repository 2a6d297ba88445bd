"""The components of `make run` and the order in which they stop."""

from collections.abc import Iterable

COMPONENTS = ("api", "worker", "temporal", "postgres")


def stop_order(names: Iterable[str]) -> list[str]:
    """Return all parts, and the further processes of some of them that are among the names."""
    further = sorted(name for name in names if name not in COMPONENTS)
    return [
        name
        for component in COMPONENTS
        for name in (component, *(each for each in further if each.startswith(f"{component}-")))
    ]
