"""Run a rendering child that also runs Python code, for `test_isolation`. Production starts `rendering.child` only.

`python -m tests.rendering.hostile_child [LAYER ...]` applies these layers of `isolation`, or all. The modules that its
code uses are imported before.
"""

import ctypes
import errno
import os
import signal
import socket
import sys
from typing import Any

from rendering import wire
from rendering.child import JobRunner, serve
from rendering.messages import RenderFailure

TOOLS = {"ctypes": ctypes, "os": os, "signal": signal, "socket": socket, "libc": ctypes.CDLL(None, use_errno=True)}


class HostileWork(JobRunner):
    def run(self, job: dict[str, Any]) -> wire.JobResult:
        if job["work"] != "run":
            return super().run(job)
        try:
            result = eval(job["code"], dict(TOOLS))
        except OSError as error:
            return RenderFailure(reason=errno.errorcode[error.errno or 0])
        return RenderFailure(reason=f"done: {result}")


if __name__ == "__main__":
    serve(HostileWork, sys.argv[1:] or None)
