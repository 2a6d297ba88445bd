"""Continue a workflow as a new run before its history grows too long.

A new run starts in the same way as after a lost workflow: it makes a new plan, and `deliver` returns the outcomes of
earlier calls from the rows. `domain/workflow_runs.py` holds the state that no row contains.
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows import options


class ContinueAsNew(Exception):
    """Signal that the pending wait or call belongs to the next run."""


def is_history_long() -> bool:
    """Return whether the history is so long that the next wait belongs to a new run."""
    info = workflow.info()
    return info.get_current_history_length() > options.MAX_HISTORY_EVENTS or info.is_continue_as_new_suggested()
