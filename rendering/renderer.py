"""Run templates and schemas in isolated child processes. Used by activities and the API."""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from types import TracebackType

from domain.json_types import JsonValue
from rendering import wire
from rendering.failures import INPUT_TOO_LONG, NOT_JSON, PROCESS_DIED, QUARANTINED, TOO_MUCH_MEMORY, TOO_SLOW
from rendering.fair_queue import TenantId
from rendering.messages import Inspection, PayloadCheck, RenderedContent, RenderFailure, SchemaCheck, TemplateSource
from rendering.pool import ProcessPool
from rendering.process import ChildProcess
from rendering.quarantine import Quarantine
from rendering.schema_bounds import BoundedSchema

CALL_SECONDS = 1.0
# A late child with less CPU time than this after its first tenth of a second was starved by other processes: a harmless
# call takes milliseconds.
STARVED_CPU_SECONDS = 0.1
FAST_CALL_SECONDS = 0.1
# The extended deadline; after 3 s in total the kernel ends the child (`child_limits`).
STARVED_EXTRA_SECONDS = 1.5


class Renderer:
    """Render, one instance per process and event loop. Built and closed by bootstrap.

    `tenant` None is the installation itself. A call waits for a child (`pool`), then has 1 s. Every call may raise
    RenderQueueFull and can be repeated later. A template or schema that had to be stopped twice is refused for a while
    (`quarantine`).
    """

    def __init__(self, children: int = 2) -> None:
        self._pool = ProcessPool(children)
        self._quarantine = Quarantine()

    @property
    def pool(self) -> ProcessPool:
        return self._pool

    @property
    def isolation(self) -> Sequence[str] | None:
        """Return the layers of the child processes (`isolation`); None before one has started."""
        return self._pool.isolation

    def start_children(self) -> None:
        """Start the children now instead of at the first call."""
        self._pool.start_children()

    async def inspect(self, source: TemplateSource, *, tenant: TenantId = None) -> Inspection | RenderFailure:
        """Parse and compile the template in a child, before it is saved."""
        result = await self._run_template("inspect", source, {}, "", tenant)
        return result if isinstance(result, Inspection | RenderFailure) else RenderFailure(reason=PROCESS_DIED)

    async def render(
        self, source: TemplateSource, variables: dict[str, JsonValue], locale: str, *, tenant: TenantId = None
    ) -> RenderedContent | RenderFailure:
        """Render with `variables` and, unless they contain one, `locale`."""
        result = await self._run_template("render", source, variables, locale, tenant)
        return result if isinstance(result, RenderedContent | RenderFailure) else RenderFailure(reason=PROCESS_DIED)

    async def check_schema(self, schema: BoundedSchema, *, tenant: TenantId = None) -> SchemaCheck | RenderFailure:
        """Compile the schema, before its template is saved."""
        result = await self._run_job(wire.schema_job(tenant, schema.text), tenant, _quarantine_key(tenant, schema.text))
        return result if isinstance(result, SchemaCheck | RenderFailure) else RenderFailure(reason=PROCESS_DIED)

    async def check_payloads(
        self, schema: BoundedSchema, payloads: Sequence[str], *, tenant: TenantId = None
    ) -> PayloadCheck | RenderFailure:
        """Check JSON texts in one call of at most FRAME_LIMIT bytes."""
        job_frame = wire.payloads_job(tenant, schema.text, schema.cost, payloads)
        result = await self._run_job(job_frame, tenant, _quarantine_key(tenant, schema.text))
        if isinstance(result, PayloadCheck) and len(result.problems) == len(payloads):
            return result
        return result if isinstance(result, RenderFailure) else RenderFailure(reason=PROCESS_DIED)

    async def __aenter__(self) -> "Renderer":
        self.start_children()
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Kill the children. Calls that still wait for one raise RuntimeError."""
        await self._pool.close()

    async def _run_template(
        self,
        work: wire.TemplateJob,
        source: TemplateSource,
        variables: dict[str, JsonValue],
        locale: str,
        tenant: TenantId,
    ) -> wire.JobResult:
        try:
            job_frame = wire.job(work, source, variables, locale)
        except (TypeError, ValueError, RecursionError):
            return RenderFailure(reason=NOT_JSON)
        return await self._run_job(job_frame, tenant, _quarantine_key(tenant, json.dumps(asdict(source))))

    async def _run_job(self, job_frame: bytes, tenant: TenantId, key: bytes) -> wire.JobResult:
        if len(job_frame) > wire.FRAME_LIMIT:
            return RenderFailure(reason=INPUT_TOO_LONG)
        result = await self._run_once(job_frame, tenant, key)
        if result == RenderFailure(reason=PROCESS_DIED):
            # The child may have died while idle, before that was noticed: the call must not fail for it.
            result = await self._run_once(job_frame, tenant, key)
            if result == RenderFailure(reason=PROCESS_DIED):
                self._quarantine.record_stop(key)
                self._quarantine.record_stop(key)
        return result

    async def _run_once(self, job_frame: bytes, tenant: TenantId, key: bytes) -> wire.JobResult:
        if self._quarantine.refuses(key):
            return RenderFailure(reason=QUARANTINED)
        process = await self._pool.acquire(tenant)
        keep = False
        try:
            if self._quarantine.refuses(key):  # stopped while this call waited
                keep = True
                return RenderFailure(reason=QUARANTINED)
            result, keep = await self._run_on_child(process, job_frame, key)
            return result
        finally:
            # A canceled call ends here too: its child is still busy and must be killed.
            self._pool.release(tenant, process, keep=keep)

    async def _run_on_child(self, process: ChildProcess, job_frame: bytes, key: bytes) -> tuple[wire.JobResult, bool]:
        """Return the result and whether the child can be kept."""
        try:
            payload = await self._wait_for_payload(process, job_frame, key)
            if payload is None:
                return RenderFailure(reason=PROCESS_DIED), False
            result, must_restart = wire.decode_result(payload)
        except TimeoutError:
            return RenderFailure(reason=TOO_SLOW), False
        except (ValueError, KeyError, TypeError):
            return RenderFailure(reason=PROCESS_DIED), False
        if isinstance(result, RenderFailure) and result.reason == TOO_MUCH_MEMORY:
            self._quarantine.record_stop(key)
        return result, not must_restart

    async def _wait_for_payload(self, process: ChildProcess, job_frame: bytes, key: bytes) -> bytes | None:
        with contextlib.suppress(TimeoutError):
            return await process.run_job(job_frame, FAST_CALL_SECONDS)
        before = process.cpu_seconds()
        try:
            return await process.read(CALL_SECONDS - FAST_CALL_SECONDS)
        except TimeoutError:
            after = process.cpu_seconds()
            if before is not None and after is not None and after - before < STARVED_CPU_SECONDS:
                return await process.read(STARVED_EXTRA_SECONDS)
            self._quarantine.record_stop(key)
            raise


def _quarantine_key(tenant: TenantId, text: str) -> bytes:
    return sha256(f"{tenant}\0{text}".encode()).digest()
