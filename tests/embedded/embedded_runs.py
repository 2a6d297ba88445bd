"""Run the steps of `make run` in a process of their own, with replacements of the API and the workers."""

import asyncio
from asyncio.subprocess import Process
from pathlib import Path

from embedded.runfile import RunInfo
from tests.embedded.conftest import SLEEPER

# Replaces the API: responds to every GET after writing its environment where the test can read it.
API = """
import http.server, json, os
from pathlib import Path
Path(os.environ["TOCSIN_DATA_DIR"], "env.json").write_text(json.dumps(dict(os.environ)))
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["TOCSIN_API_PORT"])), Page).serve_forever()
"""
# The steps of `make run`, with the replacements.
MAKE_RUN = f"""
import asyncio, sys
from pathlib import Path
from config import Settings
from embedded.stack import Stack
async def main():
    async def migrate(url): print("migrate", flush=True)
    async def after(address, database_url): print("temporal", flush=True)
    async def greet(info): print("greet", flush=True)
    settings = Settings(env="dev", data_dir=Path(sys.argv[1]), api_port=0, postgres_port=0, temporal_port=0,
                        temporal_ui_port=0, workers=2)
    await Stack(settings, migrate=migrate, after_temporal_start=after, greet=greet,
                api=(sys.executable, "-c", {API!r}), worker=(sys.executable, "-c", {SLEEPER!r})).run()
    print("stopped", flush=True)
asyncio.run(main())
"""


class EmbeddedRun:
    """Hold one `make run` in its own process."""

    def __init__(self, process: Process, root: Path) -> None:
        self.process = process
        self.root = root

    async def wait_for_line(self, word: str) -> list[str]:
        """Return the output up to the line that starts with `word`."""
        lines: list[str] = []
        assert self.process.stdout
        async with asyncio.timeout(240):
            while not lines or not lines[-1].startswith(word):
                line = await self.process.stdout.readline()
                assert line, f"ended early: {lines}"
                lines.append(line.decode().strip())
        return lines

    @property
    def info(self) -> RunInfo:
        return RunInfo.read(self.root / "run.json")

    @property
    def pids(self) -> dict[str, int]:
        return {name: pid for name, pid in self.info.pids.items() if pid}
