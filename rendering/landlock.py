"""Takes all files and TCP ports away from this process, where the kernel has Landlock. Called by `isolation`."""

import ctypes
import os

CREATE_RULESET, RESTRICT_SELF = 444, 446  # the same numbers on all architectures
VERSION = 1  # asks which one the kernel has
# What each version can refuse. Whatever is named here and allowed by no rule is refused, and there is no rule.
FILES = {1: 1 << 13, 2: 1 << 14, 3: 1 << 15, 5: 1 << 16}
PORTS_SINCE, PORTS = 4, 0b11  # bind and connect
SCOPES_SINCE, SCOPES = 6, 0b11  # abstract Unix sockets of others, signals to others


class Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("ports", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


def restrict() -> None:
    """For good. Needs no_new_privs. Raises OSError where the kernel has no Landlock."""
    libc = ctypes.CDLL(None, use_errno=True)
    version = _checked(libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), VERSION))
    ruleset = Ruleset(
        files=max(bits for since, bits in FILES.items() if since <= version) - 1,
        ports=PORTS if version >= PORTS_SINCE else 0,
        scopes=SCOPES if version >= SCOPES_SINCE else 0,
    )
    size = ctypes.c_size_t(ctypes.sizeof(ruleset))
    descriptor = _checked(libc.syscall(CREATE_RULESET, ctypes.byref(ruleset), size, 0))
    try:
        _checked(libc.syscall(RESTRICT_SELF, descriptor, 0))
    finally:
        os.close(descriptor)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
