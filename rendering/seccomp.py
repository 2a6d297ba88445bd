"""Filter the system calls of a rendering child. Called by `isolation`."""

import ctypes
import errno
import os
import platform
import struct
import sys

# For each call: its number on x86_64 and on aarch64. These suffice for an interpreter to compute, to use open
# descriptors, and to limit itself: none creates a descriptor, a process or a signal to another process.
ALLOWED_CALLS = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "lseek": (8, 62),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "pread64": (17, 67),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "nanosleep": (35, 101),
    "setitimer": (38, 103),
    "getpid": (39, 172),
    "exit": (60, 93),
    "gettimeofday": (96, 169),
    "getrusage": (98, 165),
    "sigaltstack": (131, 132),
    "gettid": (186, 178),
    "futex": (202, 98),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "exit_group": (231, 94),
    "getrandom": (318, 278),
    "rseq": (334, 293),
}
# Allowed if the first argument, a process id, is 0: the limits of the caller itself.
PRLIMIT_NUMBERS = (302, 261)
# Index in the pairs above, the kernel's constant for the architecture, and the number of the call that installs a
# filter.
ARCHITECTURES = {"x86_64": (0, 0xC000003E, 317), "aarch64": (1, 0xC00000B7, 277)}

SET_MODE_FILTER = 1
# All threads; and without the mitigation that slowed every filtered process before Linux 5.16.
FLAGS = 1 | 4
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # offsets in the kernel's data for a filter
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000


class FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def install() -> None:
    """Refuse every other call with EPERM, permanently. Needs no_new_privs. Raises OSError where this is not
    possible.
    """
    entry = ARCHITECTURES.get(platform.machine())
    if entry is None or sys.maxsize < 1 << 32:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    index, architecture, seccomp = entry
    instructions = _build_program(
        architecture, [numbers[index] for numbers in ALLOWED_CALLS.values()], PRLIMIT_NUMBERS[index]
    )
    program = FilterProgram(len(instructions) // 8, instructions)
    if ctypes.CDLL(None, use_errno=True).syscall(seccomp, SET_MODE_FILTER, FLAGS, ctypes.byref(program)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _build_program(architecture: int, allowed: list[int], prlimit: int) -> bytes:
    """Build the filter. A jump skips a number of instructions; an allowed call skips to the last one."""
    last = len(allowed) + 5
    body = [_load(NUMBER)]
    body += [_jump(number, last - index - 1) for index, number in enumerate(allowed, 1)]
    body += [_jump(prlimit, 0, 2), _load(FIRST_ARGUMENT), _jump(0, 1), _return(REFUSE), _return(ALLOW)]
    return b"".join([_load(ARCHITECTURE), _jump(architecture, 1), _return(KILL), *body])


def _load(offset: int) -> bytes:
    return struct.pack("=HBBI", LOAD, 0, 0, offset)


def _jump(value: int, if_equal: int, otherwise: int = 0) -> bytes:
    return struct.pack("=HBBI", JUMP_IF_EQUAL, if_equal, otherwise, value)


def _return(action: int) -> bytes:
    return struct.pack("=HBBI", RETURN, 0, 0, action)
