"""Drive headless Chromium by the DevTools protocol over a pipe. https://chromedevtools.github.io/devtools-protocol/"""

import asyncio
import json
import os
import shutil
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from tests.polling import eventually

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
MESSAGE_LIMIT = 16 * 1024 * 1024


class ScriptError(Exception):
    """Signal that an expression threw an error in the page, or that the browser refused a command."""


@dataclass
class Browser:
    """Hold a running browser. `events` are all events, in order."""

    reader: asyncio.StreamReader
    writer: int
    events: list[dict[str, Any]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _replies: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)

    async def read(self) -> None:
        """Read until the browser ends."""
        while True:
            message = json.loads((await self.reader.readuntil(b"\0"))[:-1])
            if "id" in message:
                self._replies.pop(message["id"]).set_result(message)
            else:
                self.events.append(message)

    async def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        reply = self._replies[number] = asyncio.get_running_loop().create_future()
        request = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        os.write(self.writer, json.dumps(request).encode() + b"\0")
        message = await asyncio.wait_for(reply, 60)
        if "error" in message:
            raise ScriptError(f"{method}: {message['error']}")
        result: dict[str, Any] = message["result"]
        return result

    async def attach(self, target_id: str) -> "Target":
        attached = await self.call("Target.attachToTarget", targetId=target_id, flatten=True)
        return Target(self, attached["sessionId"])

    async def open_page(self) -> "Target":
        created = await self.call("Target.createTarget", url="about:blank")
        return await self.attach(created["targetId"])

    async def attach_to_service_worker(self) -> "Target":
        async def find() -> list[str]:
            targets = (await self.call("Target.getTargets"))["targetInfos"]
            return [target["targetId"] for target in targets if target["type"] == "service_worker"]

        return await self.attach((await eventually(find, bool))[0])


@dataclass(frozen=True)
class Target:
    """A page or a service worker."""

    browser: Browser
    session: str

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return await self.browser.call(method, self.session, **parameters)

    async def evaluate(self, expression: str) -> Any:
        """Return the value of the expression, after its promise."""
        result = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise ScriptError(result["exceptionDetails"])
        return result["result"].get("value")

    async def click(self, selector: str) -> None:
        """Click like a visitor: the browser counts it as an action of a person."""
        box = await self.evaluate(
            f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])"
            f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def events(self, method: str) -> list[dict[str, Any]]:
        found = [event for event in self.browser.events if event.get("sessionId") == self.session]
        return [event["params"] for event in found if event["method"] == method]


@asynccontextmanager
async def running_browser(profile: Path) -> AsyncIterator[Browser]:
    """Start Chromium with a pipe on its descriptors 3 and 4."""
    (commands, writer), (replies, output) = os.pipe(), os.pipe()
    script = f'exec 3<&{commands} 4>&{output}; exec "$0" "$@"'
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", script, str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-pipe"),
        pass_fds=(commands, output),
        stdout=DEVNULL,
        stderr=DEVNULL,
    )
    os.close(commands)
    os.close(output)
    reader = asyncio.StreamReader(MESSAGE_LIMIT)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(replies, "rb")
    )
    browser = Browser(reader, writer)
    reading = asyncio.create_task(browser.read())
    try:
        yield browser
    finally:
        process.terminate()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        transport.close()
        os.close(writer)
        await _end(process)


async def _end(process: Process) -> None:
    try:
        await asyncio.wait_for(process.wait(), 20)
    except TimeoutError:
        process.kill()
        await process.wait()
