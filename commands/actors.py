"""Identify the actor in the audit log for commands that change the database directly."""

import getpass
import os

from domain.audit import Actor


def command_line_actor() -> Actor:
    """Return the user of the operating system, or its number if the system has no name for it."""
    try:
        return Actor(name=getpass.getuser())
    except (KeyError, OSError):
        return Actor(name=f"uid {os.getuid()}")
