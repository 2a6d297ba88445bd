"""Hold the table of faults: name and function. Each function undoes its fault before it returns."""

from collections.abc import Awaitable, Callable

from faults.scenario import Scenario

Fault = Callable[[Scenario], Awaitable[None]]

FAULTS: dict[str, Fault] = {}
# Faults that last: minutes in `make faults-long`.
OUTAGES: set[str] = set()


def fault(fault_function: Fault) -> Fault:
    """Add a fault under its function's name. Its docstring describes it."""
    FAULTS[fault_function.__name__] = fault_function
    return fault_function


def outage(fault_function: Fault) -> Fault:
    OUTAGES.add(fault_function.__name__)
    return fault(fault_function)
