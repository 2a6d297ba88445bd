"""Send a command to the fork server. Run as a script it replaces `./tocsin`, and imports little to start quickly.

Arguments of the script: the socket of the server, then the arguments of the command.
"""

import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def run_in_fork(
    server: str, arguments: Sequence[str], cwd: str, environment: Mapping[str, str], streams: Sequence[int] = (0, 1, 2)
) -> int:
    """Wait for the command to end and return its exit code."""
    request = json.dumps({"arguments": list(arguments), "cwd": cwd, "environment": dict(environment)}).encode()
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(server)
        socket.send_fds(line, [b"\n"], list(streams))
        line.sendall(request)
        line.shutdown(socket.SHUT_WR)
        response = line.recv(16)
    if not response:
        raise RuntimeError("the fork server has ended")
    return int(response)


def write_launcher(place: Path, server: Path) -> None:
    """Write a `tocsin` script at `place`."""
    place.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "{__file__}" "{server}" "$@"\n')
    place.chmod(0o755)


if __name__ == "__main__":
    sys.exit(run_in_fork(sys.argv[1], sys.argv[2:], os.getcwd(), os.environ))
