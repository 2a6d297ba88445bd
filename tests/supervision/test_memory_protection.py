"""Test that no other process of the same user can read memory or environment of server processes, which hold keys."""

import ctypes
import os
import subprocess
import sys

import pytest

from embedded.process_identity import identity
from tests.code.tree import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")

# Ends before it serves, because of an invalid setting, and prints PR_GET_DUMPABLE instead of exiting.
ENTRY = """
import ctypes, os, runpy, sys
os._exit = lambda code: print("dumpable", ctypes.CDLL(None).prctl(3), flush=True)
sys.argv = ["{name}"]
runpy.{run}("{name}", run_name="__main__")
"""
FORKED = """
import ctypes, os, sys
from supervision import process_flags
process_flags.hide_memory()
if os.fork():
    os.wait()
print("dumpable", ctypes.CDLL(None).prctl(3), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(("run", "name"), [("run_path", "worker.py"), ("run_module", "api")])
def test_each_server_process_hides_its_memory(run: str, name: str) -> None:
    environment = {**os.environ, "TOCSIN_API_PORT": "no port"}
    code = ENTRY.format(run=run, name=name)
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert ended.stdout == "dumpable 0\n"
    assert "TOCSIN_API_PORT" in ended.stderr
    assert ctypes.CDLL(None).prctl(3) == 1  # of this process; executed programs do not inherit it


def test_forked_processes_inherit_the_flag_and_remain_identifiable() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FORKED], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "dumpable 0\n"  # the forked process
        assert identity(process.pid) is not None
        process.communicate()
