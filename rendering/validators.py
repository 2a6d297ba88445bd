"""Compile schemas and check payloads against them. Runs in the child only (`child`)."""

import json
import time
from collections import OrderedDict
from collections.abc import Sequence
from itertools import islice
from typing import NoReturn

import jsonschema_rs

from domain.json_types import JsonValue
from rendering.child_limits import address_space
from rendering.failures import SCHEMA_TOO_LARGE
from rendering.messages import PayloadCheck, RenderFailure, SchemaCheck, SchemaProblem
from rendering.schema_bounds import payload_size
from rendering.schema_problems import INVALID_SCHEMA, problem_of_schema, problems_of

PROBLEM_LIMIT = 50
# Collecting all errors takes up to 10 µs and a copy of the object for each: 60 s for 10,000 wrong names of one object.
# Beyond these limits, of a payload and of all payloads of a call, only the first problem of a payload is reported.
DETAILED_SIZE = 400
DETAILED_WORK = 40_000
DETAILED_PROBLEMS = 2_000
DETAILED_SECONDS = 0.2
# Growth of the address space shows only what the allocator had not kept free, so a compiled schema counts for at least
# this multiple of its text: 20 bytes per character is the most that was measured for plain keywords.
BYTES_PER_CHARACTER = 32
SCHEMA_LIMIT = 32 << 20
TENANT_LIMIT = 16 << 20
CACHE_LIMIT = 32 << 20

# A pattern beyond `size_limit` is refused; the other limits bound what look-around and the automaton of a pattern may
# use.
PATTERN_OPTIONS = jsonschema_rs.FancyRegexOptions(backtrack_limit=100_000, size_limit=2 << 20, dfa_size_limit=1 << 20)

Validator = jsonschema_rs.Draft202012Validator
CacheKey = tuple[str | None, str]


class ValidatorCache:
    """Cache compiled schemas within a memory limit; evict the least recently used, first those of the same tenant."""

    def __init__(self) -> None:
        self._compiled: OrderedDict[CacheKey, tuple[Validator, int]] = OrderedDict()
        self._used: dict[str | None, int] = {}

    def check_schema(self, tenant: str | None, text: str) -> SchemaCheck | RenderFailure:
        try:
            validator = self._validator(tenant, text)
        except jsonschema_rs.ValidationError as error:
            return SchemaCheck(problems=(problem_of_schema(error),))
        except ValueError:
            return SchemaCheck(problems=(SchemaProblem(pointer="", detail=INVALID_SCHEMA),))
        return validator if isinstance(validator, RenderFailure) else SchemaCheck(problems=())

    def check_payloads(
        self, tenant: str | None, text: str, cost: int, payloads: Sequence[JsonValue]
    ) -> PayloadCheck | RenderFailure:
        started = time.monotonic()
        try:
            validator = self._validator(tenant, text)
        except (ValueError, jsonschema_rs.ValidationError):
            return RenderFailure(reason=INVALID_SCHEMA)
        if isinstance(validator, RenderFailure):
            return validator
        problems: list[tuple[SchemaProblem, ...]] = []
        remaining = DETAILED_PROBLEMS
        for payload in payloads:
            detailed = remaining > 0 and time.monotonic() - started < DETAILED_SECONDS and _is_small(payload, cost)
            problems.append(_problems(validator, payload, detailed=detailed))
            remaining -= len(problems[-1])
        return PayloadCheck(problems=tuple(problems))

    def _validator(self, tenant: str | None, text: str) -> Validator | RenderFailure:
        key = (tenant, text)
        if (cached := self._compiled.get(key)) is not None:
            self._compiled.move_to_end(key)
            return cached[0]
        before = address_space()
        # The default retriever would fetch a `$ref` from the network and from files.
        validator = Validator(
            json.loads(text), retriever=_reject_reference, validate_formats=True, pattern_options=PATTERN_OPTIONS
        )
        size = max(address_space() - before, BYTES_PER_CHARACTER * len(text))
        if size > SCHEMA_LIMIT:
            return RenderFailure(reason=SCHEMA_TOO_LARGE)
        self._add(key, validator, size)
        return validator

    def _add(self, key: CacheKey, validator: Validator, size: int) -> None:
        tenant = key[0]
        self._compiled[key] = validator, size
        self._used[tenant] = self._used.get(tenant, 0) + size
        while self._used.get(tenant, 0) > TENANT_LIMIT:
            self._evict(next(each for each in self._compiled if each[0] == tenant))
        while sum(self._used.values()) > CACHE_LIMIT:
            self._evict(next(iter(self._compiled)))

    def _evict(self, key: CacheKey) -> None:
        _, size = self._compiled.pop(key)
        self._used[key[0]] -= size
        if not self._used[key[0]]:
            del self._used[key[0]]


def _is_small(payload: JsonValue, cost: int) -> bool:
    size = payload_size(payload)
    return size <= DETAILED_SIZE and size * cost <= DETAILED_WORK


def _problems(validator: Validator, payload: JsonValue, *, detailed: bool) -> tuple[SchemaProblem, ...]:
    if validator.is_valid(payload):
        return ()
    if detailed:
        errors = validator.iter_errors(payload)
        return tuple(islice((problem for error in errors for problem in problems_of(error)), PROBLEM_LIMIT))
    try:
        validator.validate(payload)
    except jsonschema_rs.ValidationError as error:
        return tuple(problems_of(error)[:PROBLEM_LIMIT])
    return ()


def _reject_reference(uri: str) -> NoReturn:
    raise ValueError("remote references are not followed")
