"""Who the audit log names for a command that changes the database directly."""

import getpass
import os

from domain.audit import Actor


def command_line_actor() -> Actor:
    """The user of the operating system, by number where the system has no name for it."""
    try:
        return Actor(name=getpass.getuser())
    except (KeyError, OSError):
        return Actor(name=f"uid {os.getuid()}")
