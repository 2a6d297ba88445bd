"""Renders templates in limited child processes; used by activities (`render`) and the API (`inspect`, preview)."""

import asyncio
import contextlib
import logging
from types import TracebackType

from rendering import wire
from rendering.failures import DIED, INPUT_TOO_LONG, NOT_JSON, TOO_SLOW
from rendering.messages import JSON, Inspection, Rendered, RenderFailure, TemplateSource
from rendering.process import Process

CALL_SECONDS = 1.0
START_SECONDS = 30.0
RESTART_DELAY = 1.0

log = logging.getLogger(__name__)


class Renderer:
    """Owns the child processes; one per process and event loop, built and closed by bootstrap.

    A call waits for a free child as long as it takes (the caller has its own time limit) and then has 1 s.
    """

    def __init__(self, children: int = 2) -> None:
        self._children = children
        self._idle: asyncio.Queue[Process | None] = asyncio.Queue()
        self._processes: set[Process] = set()
        self._starting: set[asyncio.Task[None]] = set()
        self._begun = False
        self._closing = asyncio.Event()

    async def inspect(self, source: TemplateSource) -> Inspection | RenderFailure:
        """Parses and compiles in the child, for saving a template."""
        answer = await self._call("inspect", source, {}, "")
        return answer if isinstance(answer, (Inspection, RenderFailure)) else RenderFailure(reason=DIED)

    async def render(self, source: TemplateSource, variables: dict[str, JSON], locale: str) -> Rendered | RenderFailure:
        """Templates see `variables` and, unless these have one, `locale`."""
        answer = await self._call("render", source, variables, locale)
        return answer if isinstance(answer, (Rendered, RenderFailure)) else RenderFailure(reason=DIED)

    async def __aenter__(self) -> "Renderer":
        self._begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Kills the children; calls that still wait for one raise RuntimeError."""
        self._closing.set()
        for task in self._starting:
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
        for process in self._processes:
            process.kill()
        await asyncio.gather(*(process.gone for process in self._processes))
        self._idle.put_nowait(None)

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            for _ in range(self._children):
                self._start()

    async def _call(
        self, work: wire.Work, source: TemplateSource, variables: dict[str, JSON], locale: str
    ) -> wire.Answer:
        try:
            question = wire.job(work, source, variables, locale)
        except (TypeError, ValueError, RecursionError):
            return RenderFailure(reason=NOT_JSON)
        if len(question) > wire.FRAME_LIMIT:
            return RenderFailure(reason=INPUT_TOO_LONG)
        self._begin()
        answer = await self._ask(await self._take(), question)
        if isinstance(answer, RenderFailure) and answer.reason == DIED:
            # Perhaps it was killed while idle and nobody had noticed: once more, or an innocent delivery fails.
            answer = await self._ask(await self._take(), question)
        return answer

    async def _take(self) -> Process:
        while True:
            process = await self._idle.get()
            if process is None:
                self._idle.put_nowait(None)
                raise RuntimeError("the renderer is closed")
            if not process.gone.done():
                return process
            self._replace(process)  # died while idle: nobody's render suffers

    async def _ask(self, process: Process, question: bytes) -> wire.Answer:
        keep = False
        try:
            payload = await process.ask(question, CALL_SECONDS)
            if payload is None:
                return RenderFailure(reason=DIED)
            answer, spent = wire.read_answer(payload)
            keep = not spent
        except TimeoutError:
            return RenderFailure(reason=TOO_SLOW)
        except (ValueError, KeyError, TypeError):
            return RenderFailure(reason=DIED)
        else:
            return answer
        finally:
            # A cancelled call ends here too: its child is still busy with it and must go.
            if keep:
                self._idle.put_nowait(process)
            else:
                self._replace(process)

    def _replace(self, process: Process) -> None:
        process.kill()
        self._start()

    def _start(self) -> None:
        if not self._closing.is_set():
            task = asyncio.create_task(self._start_one())
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def _start_one(self) -> None:
        """Until one is ready: its start does not count against anybody's second."""
        while not self._closing.is_set():
            process = await self._spawn()
            try:
                ready = await process.read(START_SECONDS)
            except TimeoutError:
                ready = None
            if ready is not None:
                self._idle.put_nowait(process)
                return
            process.kill()
            log.error("a rendering process did not start")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), RESTART_DELAY)

    async def _spawn(self) -> Process:
        process = await Process.start()
        self._processes.add(process)
        process.gone.add_done_callback(lambda _: self._processes.discard(process))
        return process
