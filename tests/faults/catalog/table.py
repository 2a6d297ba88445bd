"""The table of faults: name → what it does to a scene. Each lifts what it did before it returns."""

from collections.abc import Awaitable, Callable

from tests.faults.scenario import Scenario

Fault = Callable[[Scenario], Awaitable[None]]

FAULTS: dict[str, Fault] = {}
# Those that last: minutes in `make faults-long`.
OUTAGES: set[str] = set()


def fault(fault_function: Fault) -> Fault:
    """By its function's name; its docstring says what it does."""
    FAULTS[fault_function.__name__] = fault_function
    return fault_function


def outage(fault_function: Fault) -> Fault:
    OUTAGES.add(fault_function.__name__)
    return fault(fault_function)
