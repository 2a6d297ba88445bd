"""A vendor that speaks HTTP: takes a request, writes it down, and answers as its mood is."""

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any

from tests.faults.vendor import poison
from tests.faults.vendor.ledger import Ledger
from tests.faults.vendor.moods import POISON, TAKES, Mood, refusal
from tests.faults.vendor.reports import Reports, Taken
from tests.providers.harness_http import FLOOD, Reply, Request, drip, read_request, reset

# On these days questions are answered like sends: the whole vendor is in trouble, or does not know us.
DEAF = frozenset({Mood.ERROR, Mood.UNAUTHORIZED, Mood.REDIRECT})


class HttpVendor(ABC):
    """`held` counts the calls that wait for `release`, or for ever."""

    provider: str

    def __init__(self, ledger: Ledger, reports: Reports) -> None:
        self.mood = Mood.OK
        self.held = 0
        self.poisoned = 0
        self._ledger = ledger
        self._reports = reports
        self._released = asyncio.Event()

    @abstractmethod
    def reference(self, request: Request) -> str:
        """Ours, as the request carries it."""

    @abstractmethod
    def take(self, request: Request) -> tuple[Taken, Reply]: ...

    @abstractmethod
    def tell(self, request: Request) -> Reply:
        """The answer to a question, from what was taken."""

    def message_id(self, plain: str) -> Any:
        """Return the id of a message that is taken, as the mood has it."""
        self.poisoned += self.mood in POISON
        return poison.message_id(self.mood, plain)

    def release(self) -> None:
        """Answers what is held; what comes later is held again while the mood stays."""
        self._released.set()
        self._released = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            request = await read_request(reader)
            if request.method == "GET":
                writer.write(poison.wire(self._told(request)))
            else:
                await self._sent(request, reader, writer)
            await writer.drain()
        writer.close()

    def _told(self, request: Request) -> Reply:
        answer = refusal(self.mood, request.target) if self.mood in DEAF else self.tell(request)
        self._ledger.asked(self.provider, answer.status)
        return answer

    async def _sent(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mood = self.mood
        self._ledger.call(self.provider, self.reference(request), mood)
        if mood in TAKES:
            taken, answer = self.take(request)
            self._ledger.kept(taken.provider, taken.reference, ascii(taken.message_id).strip("'"), taken.to)
            await self._reports.announce(taken)
            await self._say(answer, mood, reader, writer)
        elif mood is Mood.STALL:
            await self._wait(reader)
            reset(writer)
        else:
            writer.write(refusal(mood, request.target).wire)

    async def _say(self, answer: Reply, mood: Mood, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        match mood:
            case Mood.TAKEN_500:
                writer.write(Reply(status=500, body=b"<html>").wire)
            case Mood.TAKEN_RESET:
                reset(writer)
            case Mood.TAKEN_HANG:
                await reader.read()
            case Mood.DRIP:
                await drip(answer.wire, reader, writer)
            case Mood.GARBLED:
                writer.write(Reply(status=answer.status, body=b"\xff{").wire)
            case Mood.FLOOD:
                writer.write(Reply(status=answer.status, body=b" " * FLOOD).wire)
            case Mood.HOLD:
                await self._wait(reader)
                writer.write(answer.wire)
            case _ if mood in POISON and self.poisoned % 2:
                reset(writer)  # the id is read when the message is looked up
            case _:
                writer.write(poison.wire(answer))

    async def _wait(self, reader: asyncio.StreamReader) -> None:
        """Until it is told to go on, or the caller is gone."""
        told, gone = asyncio.ensure_future(self._released.wait()), asyncio.ensure_future(reader.read())
        self.held += 1
        await asyncio.wait({told, gone}, return_when=asyncio.FIRST_COMPLETED)
        self.held -= 1
        for waiting in (told, gone):
            waiting.cancel()
