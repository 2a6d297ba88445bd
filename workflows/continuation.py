"""Going on as a new run before a history grows without a bound.

A new run begins as after a lost workflow: it plans anew, and `deliver` answers what the rows say of the calls that
were made. What no row says is carried over (`domain/carried.py`).
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows import options


class ContinueAsNew(Exception):
    """What was about to wait, or to call, does so in the next run."""


def is_history_long() -> bool:
    """Whether the history of this run has grown so much that the next wait belongs to a new one."""
    info = workflow.info()
    return info.get_current_history_length() > options.MAX_HISTORY_EVENTS or info.is_continue_as_new_suggested()
