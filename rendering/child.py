"""Run templates and schemas in the isolated child process. `renderer` starts it; the protocol is `wire`."""

import json
import os
import sys
from collections.abc import Callable, Collection
from dataclasses import asdict
from typing import Any, BinaryIO

from domain.channels import Channel
from rendering import wire
from rendering.child_limits import ProcessLimits
from rendering.failures import TOO_DEEP, TOO_MUCH_MEMORY
from rendering.isolation import isolate
from rendering.messages import RenderFailure, TemplateSource
from rendering.templates import TemplateEngine
from rendering.validators import ValidatorCache

# These load every module and codec that is loaded at first use: literals, character names, filters, both error paths.
WARM_UP_TEMPLATES = ("{{ '\\N{DASH}<b>'|striptags|urlize|urlencode }}", "{{ missing }}", "{% if %}")


class JobRunner:
    """Hold the state that the child keeps between jobs."""

    def __init__(self) -> None:
        self._templates = TemplateEngine()
        self._validators = ValidatorCache()
        self._warm_up()

    def run(self, job: dict[str, Any]) -> wire.JobResult:
        match job["work"]:
            case "check_schema":
                return self._validators.check_schema(job["tenant"], job["schema"])
            case "check_payloads":
                return self._validators.check_payloads(job["tenant"], job["schema"], job["cost"], job["payloads"])
            case "inspect":
                return self._templates.inspect(wire.decode_source(job["source"]))
        return self._templates.render(wire.decode_source(job["source"]), job["variables"], job["locale"])

    def _warm_up(self) -> None:
        """Load what the libraries load at first use, before files are out of reach and the clock runs."""
        body = "{% for name in names %}<p>{{ name|upper|wordwrap(9) }}{{ names|tojson }}</p>{% endfor %}"
        source = TemplateSource(subject="{{ names|first }}", body=body, text=None, channel=Channel.EMAIL)
        self._templates.render(source, {"names": ["a"]}, "en")
        for body in WARM_UP_TEMPLATES:
            self._templates.render(TemplateSource(subject=None, body=body, text=None, channel=Channel.SMS), {}, "en")
        self._validators.check_payloads(None, '{"format": "email", "pattern": "^a$"}', 1, ["b"])


def main() -> None:
    serve(JobRunner)


def serve(create_runner: Callable[[], JobRunner], layers: Collection[str] | None = None) -> None:
    """Isolate this process, by all layers if none is named, and run jobs until the parent exits."""
    # uvloop, which the parent runs on, passes on inheritable descriptors; asyncio does not.
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    runner = create_runner()
    limits = ProcessLimits()
    # A traceback could quote a payload, so nothing is written to stderr from the first job on.
    null_device = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null_device, 2)
    os.close(null_device)
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    _send(sink, wire.frame(asdict(isolate(layers))))
    while (job := _receive(source)) is not None:
        limits.arm()
        result = _run_job(runner, limits, job)
        limits.disarm()
        _send(sink, result)


def _run_job(runner: JobRunner, limits: ProcessLimits, job: bytes) -> bytes:
    try:
        result = runner.run(json.loads(job))
    except MemoryError:
        result = RenderFailure(reason=TOO_MUCH_MEMORY)
    except RecursionError:
        result = RenderFailure(reason=TOO_DEEP)
    ran_out = isinstance(result, RenderFailure) and result.reason == TOO_MUCH_MEMORY
    return wire.encode_result(result, must_restart=ran_out or limits.has_excess_memory)


def _receive(source: BinaryIO) -> bytes | None:
    """Return the next frame, or None when the parent has closed its end or exited."""
    header = source.read(wire.HEADER)
    return source.read(int.from_bytes(header, "big")) if len(header) == wire.HEADER else None


def _send(sink: BinaryIO, message: bytes) -> None:
    sink.write(message)
    sink.flush()


if __name__ == "__main__":
    main()
