"""Isolate a rendering child before its first job: files, network, processes, the rights of its parent.

Each layer is independent of the others, so that a kernel without one still provides the rest. `docs/configuration.md`
lists what each layer refuses.
"""

import ctypes
import errno
import os
import resource
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from rendering import landlock, seccomp

SET_NO_NEW_PRIVS = 38
# A range that no user of a machine has: systemd takes its temporary users from it.
FIRST_UID, UID_COUNT = 61184, 4336
LINUX_LAYERS = {"no_new_privs", "landlock", "seccomp"}


@dataclass(frozen=True, kw_only=True)
class Isolation:
    """Describe the active layers, and the error name of each missing one."""

    in_force: tuple[str, ...] = ()
    missing: dict[str, str] = field(default_factory=dict)


def isolate(layers: Collection[str] | None = None) -> Isolation:
    """Apply the layers, all if None. The process must have imported and opened everything that it needs."""
    in_force, missing = [], {}
    for name, apply in LAYERS.items():
        if (layers is not None and name not in layers) or (name == "own_uid" and os.geteuid() != 0):
            continue
        try:
            if name in LINUX_LAYERS and sys.platform != "linux":
                raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
            apply()
        except OSError as error:
            missing[name] = errno.errorcode.get(error.errno or 0, type(error).__name__)
        else:
            in_force.append(name)
    return Isolation(in_force=tuple(in_force), missing=missing)


def _drop_root() -> None:
    """Change to a uid of its own, by pid. With root, the child loses all capabilities."""
    uid = FIRST_UID + os.getpid() % UID_COUNT
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def _forbid_new_privileges() -> None:
    """Prevent new privileges, such as by setuid. The kernel requires this before the filters."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _forbid_processes() -> None:
    """Refuse new processes. Has no effect on root."""
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def _forbid_descriptors() -> None:
    """Refuse new descriptors. Open ones stay open."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


# The order matters: Landlock needs a descriptor, and the system call filter refuses the calls of the other layers.
LAYERS: dict[str, Callable[[], None]] = {
    "own_uid": _drop_root,
    "no_new_privs": _forbid_new_privileges,
    "landlock": landlock.restrict,
    "no_processes": _forbid_processes,
    "no_descriptors": _forbid_descriptors,
    "seccomp": seccomp.install,
}
