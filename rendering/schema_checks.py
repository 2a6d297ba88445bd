"""Check a schema before it is saved, and payloads against schemas. Used by the API and the command line."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from domain.json_types import JsonValue
from rendering.failures import PROCESS_DIED, TOO_MUCH_MEMORY
from rendering.fair_queue import TenantId
from rendering.messages import RenderFailure, SchemaProblem
from rendering.renderer import Renderer
from rendering.schema_bounds import PAYLOAD_WORK_LIMIT, REQUEST_WORK_LIMIT, BoundedSchema, bound_schema, payload_size
from rendering.simple_schemas import SIMPLE_WORK_LIMIT, proof_of
from rendering.wire import FRAME_LIMIT

# Limit of all payloads of a request together.
REQUEST_SECONDS = 10.0
# In addition to the payloads, a frame holds the schema, escaped once more.
CHUNK_BYTES = FRAME_LIMIT // 2

CANNOT_CHECK_PREFIX = "cannot be checked: the variables_schema "
CHECKING_PREFIX = "checking the payload against the variables_schema "
TOO_MUCH_WORK = (
    f"is too large for the variables_schema: its size (values, plus one for each 64 characters) times the evaluations "
    f"of the schema may be at most {PAYLOAD_WORK_LIMIT:,}"
)
SMALLER_BATCH = "the payloads of this request take too much work to check; send this item in a smaller batch"

FAILURE_VERBS = {PROCESS_DIED: "ended the rendering process", TOO_MUCH_MEMORY: "needed more than 256 MiB"}


async def check_schema(renderer: Renderer, schema: dict[str, Any], *, tenant: TenantId = None) -> list[SchemaProblem]:
    """Check the schema: draft 2020-12, without remote references, within the limits. `{}` is valid and allows
    anything.
    """
    limited = bound_schema(schema)
    if isinstance(limited, SchemaProblem):
        return [limited]
    if limited.accepts_everything and not schema:
        return []
    check = await renderer.check_schema(limited, tenant=tenant)
    if isinstance(check, RenderFailure):
        return [SchemaProblem(pointer="", detail=f"compiling it {_verb(check)}")]
    return list(check.problems)


@dataclass
class PayloadChecks:
    """Collect the payloads of one request, each with the schemas of its channels; one call per distinct schema and
    chunk.
    """

    renderer: Renderer
    tenant: TenantId
    problems: dict[int, dict[SchemaProblem, None]] = field(default_factory=dict)
    _groups: dict[str, tuple[BoundedSchema, list[tuple[int, JsonValue, int]]]] = field(default_factory=dict)
    _work: int = 0
    # Keyed by identity: a batch repeats the few schemas of its types, and serializing a large one takes milliseconds.
    _bounded_schemas: dict[int, tuple[dict[str, Any], BoundedSchema | SchemaProblem]] = field(default_factory=dict)

    def add(self, index: int, payload: JsonValue, schemas: Sequence[dict[str, Any]]) -> None:
        """Add a payload for `run`. A payload beyond a limit is a problem immediately."""
        limited = [self._bound_schema(schema) for schema in schemas]
        refusals = {f"{CANNOT_CHECK_PREFIX}{each.detail}": None for each in limited if isinstance(each, SchemaProblem)}
        for detail in refusals:
            self._add_problem(index, detail)
        schemas_to_check = {
            each.text: each for each in limited if isinstance(each, BoundedSchema) and not each.accepts_everything
        }
        if refusals or not schemas_to_check:
            return
        work = payload_size(payload) * sum(each.cost for each in schemas_to_check.values())
        if work > PAYLOAD_WORK_LIMIT:
            self._add_problem(index, TOO_MUCH_WORK)
        elif self._work + work > REQUEST_WORK_LIMIT:
            self._add_problem(index, SMALLER_BATCH)
        else:
            self._work += work
            for limited_schema in schemas_to_check.values():
                if work > SIMPLE_WORK_LIMIT or not proof_of(limited_schema.text)(payload):
                    group = self._groups.setdefault(limited_schema.text, (limited_schema, []))
                    group[1].append((index, payload, work))

    def _bound_schema(self, schema: dict[str, Any]) -> BoundedSchema | SchemaProblem:
        """Keep the schema with its result, so that no other object gets its identity."""
        if id(schema) not in self._bounded_schemas:
            self._bounded_schemas[id(schema)] = schema, bound_schema(schema)
        return self._bounded_schemas[id(schema)][1]

    async def run(self) -> None:
        """Fill `problems`. Raises RenderQueueFull."""
        deadline = time.monotonic() + REQUEST_SECONDS
        for schema, items in self._groups.values():
            chunk = _Chunk()
            for index, payload, work in items:
                # Not concurrently: between the calls of a batch of megabytes, the event loop serves other requests.
                text = json.dumps(payload, separators=(",", ":"))
                if not chunk.has_capacity(work, len(text)):
                    await self._check(schema, chunk, deadline)
                    chunk = _Chunk()
                chunk.add(index, text, work)
            await self._check(schema, chunk, deadline)

    async def _check(self, schema: BoundedSchema, chunk: "_Chunk", deadline: float) -> None:
        if time.monotonic() > deadline:
            self._reject(chunk, SMALLER_BATCH)
            return
        check = await self.renderer.check_payloads(schema, chunk.texts, tenant=self.tenant)
        if isinstance(check, RenderFailure):
            self._reject(chunk, f"{CHECKING_PREFIX}{_verb(check)}")
            return
        for index, problems in zip(chunk.indexes, check.problems, strict=True):
            self.problems.setdefault(index, {}).update(dict.fromkeys(problems))

    def _reject(self, chunk: "_Chunk", detail: str) -> None:
        for index in chunk.indexes:
            self._add_problem(index, detail)

    def _add_problem(self, index: int, detail: str) -> None:
        self.problems.setdefault(index, {})[SchemaProblem(pointer="", detail=detail)] = None


@dataclass
class _Chunk:
    """Hold the payloads of one call."""

    indexes: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    work: int = 0
    size: int = 0

    def has_capacity(self, work: int, size: int) -> bool:
        return not self.texts or (self.work + work <= PAYLOAD_WORK_LIMIT and self.size + size <= CHUNK_BYTES)

    def add(self, index: int, text: str, work: int) -> None:
        self.indexes.append(index)
        self.texts.append(text)
        self.work += work
        self.size += len(text) + 1


def _verb(failure: RenderFailure) -> str:
    return FAILURE_VERBS.get(failure.reason, failure.reason)
