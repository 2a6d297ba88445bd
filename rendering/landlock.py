"""Deny this process all files and TCP ports, where the kernel has Landlock. Called by `isolation`."""

import ctypes
import os

CREATE_RULESET, RESTRICT_SELF = 444, 446  # the same numbers on all architectures
GET_VERSION = 1  # returns the version of the kernel
# Rights that each version can deny. A right that is named here and allowed by no rule is denied; there are no rules.
FILE_RIGHTS = {1: 1 << 13, 2: 1 << 14, 3: 1 << 15, 5: 1 << 16}
PORTS_MIN_VERSION, PORT_RIGHTS = 4, 0b11  # bind and connect
SCOPES_MIN_VERSION, SCOPE_RIGHTS = 6, 0b11  # abstract Unix sockets of other processes, signals to other processes


class Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("ports", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


def restrict() -> None:
    """Apply the restrictions permanently. Needs no_new_privs. Raises OSError where the kernel has no Landlock."""
    libc = ctypes.CDLL(None, use_errno=True)
    version = _check_result(libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), GET_VERSION))
    ruleset = Ruleset(
        files=max(bits for min_version, bits in FILE_RIGHTS.items() if min_version <= version) - 1,
        ports=PORT_RIGHTS if version >= PORTS_MIN_VERSION else 0,
        scopes=SCOPE_RIGHTS if version >= SCOPES_MIN_VERSION else 0,
    )
    size = ctypes.c_size_t(ctypes.sizeof(ruleset))
    descriptor = _check_result(libc.syscall(CREATE_RULESET, ctypes.byref(ruleset), size, 0))
    try:
        _check_result(libc.syscall(RESTRICT_SELF, descriptor, 0))
    finally:
        os.close(descriptor)


def _check_result(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
