"""Frames between parent and child: four bytes of length, then JSON. Not pickle: the child may have been taken over."""

import json
from dataclasses import asdict
from typing import Any, Literal

from domain.channels import Channel
from rendering.messages import JSON, Inspection, Rendered, RenderFailure, TemplateSource

HEADER = 4
FRAME_LIMIT = 2 << 20
# JSON's escapes make up to six bytes of one, for three parts of 1 MiB.
ANSWER_LIMIT = 20 << 20

Work = Literal["inspect", "render"]
Answer = Inspection | Rendered | RenderFailure


def frame(message: dict[str, Any], *, escape: bool = True) -> bytes:
    """ValueError, TypeError or RecursionError for what is no JSON."""
    text = json.dumps(message, allow_nan=False, separators=(",", ":"), ensure_ascii=escape)
    payload = text.encode(errors="surrogatepass")
    return len(payload).to_bytes(HEADER, "big") + payload


def job(work: Work, source: TemplateSource, variables: dict[str, JSON], locale: str) -> bytes:
    """As UTF-8: escapes would make the largest template, payload and profile exceed the frame."""
    return frame({"work": work, "source": asdict(source), "variables": variables, "locale": locale}, escape=False)


def read_source(fields: dict[str, Any]) -> TemplateSource:
    return TemplateSource(**{**fields, "channel": Channel(fields["channel"])})


def write_answer(answer: Answer, *, spent: bool) -> bytes:
    """`spent` asks the parent to replace this child."""
    match answer:
        case Inspection():
            fields: dict[str, Any] = {"variables": sorted(answer.variables), "needed": sorted(answer.needed)}
        case Rendered():
            fields = {"content": answer.content}
        case RenderFailure():
            fields = {"failure": asdict(answer)}
    return frame({**fields, "spent": spent})


def read_answer(payload: bytes) -> tuple[Answer, bool]:
    """ValueError, KeyError or TypeError for what our own child would not write."""
    fields = json.loads(payload)
    spent = bool(fields["spent"])
    if "failure" in fields:
        return RenderFailure(**fields["failure"]), spent
    if "content" in fields:
        return Rendered(content=fields["content"]), spent
    return Inspection(variables=set(fields["variables"]), needed=set(fields["needed"])), spent
