"""Runs templates and schemas in limited child processes; used by activities (`render`) and the API."""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from types import TracebackType

from rendering import wire
from rendering.failures import DIED, INPUT_TOO_LONG, NOT_JSON, QUARANTINED, TOO_MUCH_MEMORY, TOO_SLOW
from rendering.fair_queue import Tenant
from rendering.messages import JSON, Inspection, PayloadCheck, Rendered, RenderFailure, SchemaCheck, TemplateSource
from rendering.pool import Pool
from rendering.process import Process
from rendering.quarantine import Quarantine
from rendering.schema_bounds import BoundedSchema

CALL_SECONDS = 1.0
# A late child that had less CPU time than this after its first tenth of a second was starved by other processes: a
# harmless call takes milliseconds.
BLAMED_CPU_SECONDS = 0.1
HARMLESS_SECONDS = 0.1
# What it gets then; after 3 s in all the kernel ends it (`limits`).
STARVED_SECONDS = 1.5


class Renderer:
    """One per process and event loop, built and closed by bootstrap. `tenant` None is the installation itself.

    A call waits for its turn (`pool`), then has 1 s. Every call may raise TooManyWaiting; the caller can repeat it
    later. A template or schema that had to be stopped twice is refused for a while (`quarantine`).
    """

    def __init__(self, children: int = 2) -> None:
        self._pool = Pool(children)
        self._quarantine = Quarantine()

    @property
    def pool(self) -> Pool:
        return self._pool

    @property
    def isolation(self) -> Sequence[str] | None:
        """What the child processes have given up (`isolation`); None before one has started."""
        return self._pool.isolation

    def begin(self) -> None:
        """Start the children now and not at the first call."""
        self._pool.begin()

    async def inspect(self, source: TemplateSource, *, tenant: Tenant = None) -> Inspection | RenderFailure:
        """Parses and compiles in the child, for saving a template."""
        answer = await self._run_template("inspect", source, {}, "", tenant)
        return answer if isinstance(answer, Inspection | RenderFailure) else RenderFailure(reason=DIED)

    async def render(
        self, source: TemplateSource, variables: dict[str, JSON], locale: str, *, tenant: Tenant = None
    ) -> Rendered | RenderFailure:
        """Templates see `variables` and, unless these have one, `locale`."""
        answer = await self._run_template("render", source, variables, locale, tenant)
        return answer if isinstance(answer, Rendered | RenderFailure) else RenderFailure(reason=DIED)

    async def check_schema(self, schema: BoundedSchema, *, tenant: Tenant = None) -> SchemaCheck | RenderFailure:
        """Compile it, as for saving a template."""
        answer = await self._call(wire.schema_job(tenant, schema.text), tenant, _key(tenant, schema.text))
        return answer if isinstance(answer, SchemaCheck | RenderFailure) else RenderFailure(reason=DIED)

    async def check_payloads(
        self, schema: BoundedSchema, payloads: Sequence[str], *, tenant: Tenant = None
    ) -> PayloadCheck | RenderFailure:
        """`payloads` are JSON texts; all of them in one call, so at most FRAME_LIMIT bytes."""
        question = wire.payloads_job(tenant, schema.text, schema.cost, payloads)
        answer = await self._call(question, tenant, _key(tenant, schema.text))
        if isinstance(answer, PayloadCheck) and len(answer.problems) == len(payloads):
            return answer
        return answer if isinstance(answer, RenderFailure) else RenderFailure(reason=DIED)

    async def __aenter__(self) -> "Renderer":
        self.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Kill the children; calls that still wait for one raise RuntimeError."""
        await self._pool.close()

    async def _run_template(
        self, work: wire.Work, source: TemplateSource, variables: dict[str, JSON], locale: str, tenant: Tenant
    ) -> wire.Answer:
        try:
            question = wire.job(work, source, variables, locale)
        except (TypeError, ValueError, RecursionError):
            return RenderFailure(reason=NOT_JSON)
        return await self._call(question, tenant, _key(tenant, json.dumps(asdict(source))))

    async def _call(self, question: bytes, tenant: Tenant, key: bytes) -> wire.Answer:
        if len(question) > wire.FRAME_LIMIT:
            return RenderFailure(reason=INPUT_TOO_LONG)
        answer = await self._ask(question, tenant, key)
        if answer == RenderFailure(reason=DIED):
            # The child may have been killed while idle, before its end was noticed: the call must not fail for that.
            answer = await self._ask(question, tenant, key)
            if answer == RenderFailure(reason=DIED):
                self._quarantine.add_strike(key)
                self._quarantine.add_strike(key)
        return answer

    async def _ask(self, question: bytes, tenant: Tenant, key: bytes) -> wire.Answer:
        if self._quarantine.refuses(key):
            return RenderFailure(reason=QUARANTINED)
        process = await self._pool.acquire(tenant)
        keep = False
        try:
            if self._quarantine.refuses(key):  # stopped while this call waited
                keep = True
                return RenderFailure(reason=QUARANTINED)
            answer, keep = await self._answer(process, question, key)
            return answer
        finally:
            # A canceled call ends here too: its child is still busy with it and must go.
            self._pool.release(tenant, process, keep=keep)

    async def _answer(self, process: Process, question: bytes, key: bytes) -> tuple[wire.Answer, bool]:
        """And whether the child can be kept."""
        try:
            payload = await self._payload(process, question, key)
            if payload is None:
                return RenderFailure(reason=DIED), False
            answer, spent = wire.read_answer(payload)
        except TimeoutError:
            return RenderFailure(reason=TOO_SLOW), False
        except (ValueError, KeyError, TypeError):
            return RenderFailure(reason=DIED), False
        if isinstance(answer, RenderFailure) and answer.reason == TOO_MUCH_MEMORY:
            self._quarantine.add_strike(key)
        return answer, not spent

    async def _payload(self, process: Process, question: bytes, key: bytes) -> bytes | None:
        with contextlib.suppress(TimeoutError):
            return await process.ask(question, HARMLESS_SECONDS)
        before = process.cpu_seconds()
        try:
            return await process.read(CALL_SECONDS - HARMLESS_SECONDS)
        except TimeoutError:
            after = process.cpu_seconds()
            if before is not None and after is not None and after - before < BLAMED_CPU_SECONDS:
                return await process.read(STARVED_SECONDS)
            self._quarantine.add_strike(key)
            raise


def _key(tenant: Tenant, text: str) -> bytes:
    return sha256(f"{tenant}\0{text}".encode()).digest()
