"""Process entry of the API: `python -m api`, or `tocsin api`."""

import asyncio
import os
import signal
import sys

from api.server import serve
from bootstrap import ensure_demo, open_parts
from config import Settings, WrongSettings
from logs import configure_logging
from supervision import run_on_uvloop


async def main() -> None:
    settings = Settings.read()
    configure_logging(settings)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_parts(settings) as parts:
        await ensure_demo(parts)
        await serve(parts, stop)


if __name__ == "__main__":
    code = 0
    try:
        run_on_uvloop(main())
    except WrongSettings as error:
        sys.stderr.write(f"api: {error}\n")
        code = 2
    sys.stdout.flush()
    sys.stderr.flush()
    # A plain exit can abort in the Temporal SDK's native threads while the interpreter shuts down.
    os._exit(code)
