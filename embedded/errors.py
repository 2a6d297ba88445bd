"""Define the error of this folder. Its text is for the user who ran `make run`."""


class StackError(Exception):
    """Signal that something on this machine prevents the start. The message names the fix."""
