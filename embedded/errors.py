"""The one error of this folder; its text is meant for the person who typed `make run`."""


class StackError(Exception):
    """Something on this machine keeps the stack from starting; the message says what to do."""
