"""The table of faults: name → what it does to a scene. Each lifts what it did before it returns."""

from collections.abc import Awaitable, Callable

from tests.faults.scene import Scene

Act = Callable[[Scene], Awaitable[None]]

FAULTS: dict[str, Act] = {}
# Those that last: minutes in `make faults-long`.
OUTAGES: set[str] = set()


def fault(act: Act) -> Act:
    """By its function's name; its docstring says what it does."""
    FAULTS[act.__name__] = act
    return act


def outage(act: Act) -> Act:
    OUTAGES.add(act.__name__)
    return fault(act)
