"""Run each `tocsin` command in a fork of one process that has imported the code of all commands, because imports take
longer than most commands.

A fork is a separate process with its own streams, directory, environment and exit code. One connection is one command:
first its three streams, then a JSON object. The response is its exit code. The server ends when its stdin is closed.
Argument: the file descriptor of the listening socket.
"""

import asyncio
import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from select import select
from typing import NoReturn

import commands
from embedded.stack import CHECKOUT

CLI = str(CHECKOUT / "cli.py")
SERVERS = ("bootstrap", "embedded.stack")


@asynccontextmanager
async def running_fork_server() -> AsyncIterator[Path]:
    """Yield the socket. Connections wait there until the server has imported everything."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        place = Path(folder) / "forks"  # the paths of pytest's folders are too long for a socket name
        listener.bind(str(place))
        listener.listen()
        server = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", __name__, str(listener.fileno())),
            cwd=CHECKOUT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
        )
        listener.close()  # without it, a client of a dead server would wait forever
        try:
            yield place
        finally:
            assert server.stdin is not None
            server.stdin.close()
            await server.wait()


def serve(listener: socket.socket) -> None:
    for name in ("cli", *SERVERS, *(f"commands.{module.name}" for module in pkgutil.iter_modules(commands.__path__))):
        importlib.import_module(name)
    gc.freeze()  # a collection in a fork would copy shared memory
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the processes that wait for a command need no reaping
    while listener in select([listener, sys.stdin], [], [])[0]:
        line, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _serve_request(line)
        line.close()


def _serve_request(line: socket.socket) -> None:
    """Start the command, wait for it and send its exit code. Fork twice, because a command may replace its process."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, *_ = socket.recv_fds(line, 1, 3)
    request = json.loads(line.makefile("rb").read())
    pid = os.fork()
    if pid == 0:
        line.close()
        _exec_command(request["arguments"], request["cwd"], request["environment"], streams)
    _, status = os.waitpid(pid, 0)
    line.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _exec_command(arguments: list[str], cwd: str, environment: dict[str, str], streams: list[int]) -> NoReturn:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [CLI, *arguments]
    try:
        runpy.run_path(CLI, run_name="__main__")
    except SystemExit as end:
        _exit_child(end.code)
    _exit_child(0)


def _exit_child(code: object) -> NoReturn:
    """Exit without the interpreter's cleanup, which would copy all memory shared with the server."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
