"""Encode frames between parent and child: four bytes of length, then JSON. Not pickle: the child may be compromised."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal
from uuid import UUID

from domain.channels import Channel
from domain.json_types import JsonValue
from rendering.messages import (
    Inspection,
    PayloadCheck,
    RenderedContent,
    RenderFailure,
    SchemaCheck,
    SchemaProblem,
    TemplateSource,
)

HEADER = 4
FRAME_LIMIT = 2 << 20
# JSON's escapes turn one byte into up to six, for three parts of 1 MiB.
RESULT_LIMIT = 20 << 20

TemplateJob = Literal["inspect", "render"]
JobResult = Inspection | RenderedContent | SchemaCheck | PayloadCheck | RenderFailure


def frame(message: dict[str, Any], *, escape: bool = True) -> bytes:
    """Encode a message. Raises ValueError, TypeError or RecursionError if it is not JSON."""
    return _to_frame(json.dumps(message, allow_nan=False, separators=(",", ":"), ensure_ascii=escape))


def job(work: TemplateJob, source: TemplateSource, variables: dict[str, JsonValue], locale: str) -> bytes:
    """Encode as UTF-8: with escapes, the largest template, payload and profile would exceed the frame."""
    return frame({"work": work, "source": asdict(source), "variables": variables, "locale": locale}, escape=False)


def schema_job(tenant: UUID | None, schema: str) -> bytes:
    return frame({"work": "check_schema", "tenant": tenant and str(tenant), "schema": schema})


def payloads_job(tenant: UUID | None, schema: str, cost: int, payloads: Sequence[str]) -> bytes:
    """Encode payloads that are already JSON texts."""
    fields = {"work": "check_payloads", "tenant": tenant and str(tenant), "schema": schema, "cost": cost}
    return _to_frame(f'{json.dumps(fields)[:-1]},"payloads":[{",".join(payloads)}]}}')


def _to_frame(text: str) -> bytes:
    payload = text.encode(errors="surrogatepass")
    return len(payload).to_bytes(HEADER, "big") + payload


def decode_source(fields: dict[str, Any]) -> TemplateSource:
    return TemplateSource(**{**fields, "channel": Channel(fields["channel"])})


def encode_result(result: JobResult, *, must_restart: bool) -> bytes:
    """Encode a result. `must_restart` asks the parent to replace this child."""
    match result:
        case Inspection():
            fields: dict[str, Any] = {"variables": sorted(result.variables), "needed": sorted(result.needed)}
        case RenderedContent():
            fields = {"content": result.content}
        case SchemaCheck():
            fields = {"schema": _pairs(result.problems)}
        case PayloadCheck():
            fields = {"payloads": [_pairs(problems) for problems in result.problems]}
        case RenderFailure():
            fields = {"failure": asdict(result)}
    return frame({**fields, "must_restart": must_restart})


def decode_result(payload: bytes) -> tuple[JobResult, bool]:
    """Decode a result. Raises ValueError, KeyError or TypeError for anything that the child would not write."""
    fields = json.loads(payload)
    return _result_of(fields), bool(fields["must_restart"])


def _result_of(fields: dict[str, Any]) -> JobResult:
    if "failure" in fields:
        return RenderFailure(**fields["failure"])
    if "content" in fields:
        return RenderedContent(content=fields["content"])
    if "schema" in fields:
        return SchemaCheck(problems=_problems(fields["schema"]))
    if "payloads" in fields:
        return PayloadCheck(problems=tuple(_problems(each) for each in fields["payloads"]))
    return Inspection(variables=set(fields["variables"]), needed=set(fields["needed"]))


def _pairs(problems: Sequence[SchemaProblem]) -> list[list[str]]:
    return [[problem.pointer, problem.detail] for problem in problems]


def _problems(pairs: Sequence[Sequence[str]]) -> tuple[SchemaProblem, ...]:
    return tuple(SchemaProblem(pointer=str(pointer), detail=str(detail)) for pointer, detail in pairs)
