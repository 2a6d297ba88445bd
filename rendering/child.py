"""The limited process that alone parses, compiles and renders templates; started by `renderer`, speaks `wire`."""

import json
import os
import sys
from typing import Any, BinaryIO

from domain.channels import Channel
from rendering import wire
from rendering.failures import TOO_DEEP, TOO_MUCH_MEMORY
from rendering.limits import Limits
from rendering.messages import RenderFailure, TemplateSource
from rendering.templates import Templates


def main() -> None:
    templates = Templates()
    _warm_up(templates)
    limits = Limits()
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    _send(sink, wire.frame({}))
    # A traceback could quote a payload: from here on nobody hears us.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    while (job := _receive(source)) is not None:
        limits.arm()
        answer = _work(templates, limits, job)
        limits.disarm()
        _send(sink, answer)


def _work(templates: Templates, limits: Limits, job: bytes) -> bytes:
    try:
        answer = _answer(templates, json.loads(job))
    except MemoryError:
        answer = RenderFailure(reason=TOO_MUCH_MEMORY)
    except RecursionError:
        answer = RenderFailure(reason=TOO_DEEP)
    ran_out = isinstance(answer, RenderFailure) and answer.reason == TOO_MUCH_MEMORY
    return wire.write_answer(answer, spent=ran_out or limits.worn_out)


def _answer(templates: Templates, job: dict[str, Any]) -> wire.Answer:
    source = wire.read_source(job["source"])
    if job["work"] == "inspect":
        return templates.inspect(source)
    return templates.render(source, job["variables"], job["locale"])


def _warm_up(templates: Templates) -> None:
    """Loads what Jinja2 loads at first use, before files are scarce and the clock runs."""
    body = "{% for name in names %}<p>{{ name|upper|wordwrap(9) }}{{ names|tojson }}</p>{% endfor %}"
    source = TemplateSource(subject="{{ names|first }}", body=body, text=None, channel=Channel.EMAIL)
    templates.render(source, {"names": ["a"]}, "en")


def _receive(source: BinaryIO) -> bytes | None:
    """None when the parent has closed its end or is gone."""
    header = source.read(wire.HEADER)
    return source.read(int.from_bytes(header, "big")) if len(header) == wire.HEADER else None


def _send(sink: BinaryIO, message: bytes) -> None:
    sink.write(message)
    sink.flush()


if __name__ == "__main__":
    main()
