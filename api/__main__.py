"""Process entry of the API: `python -m api`, or `tocsin api`."""

import asyncio
import os
import signal
import sys

from api.server import serve
from bootstrap import configure_logging, ensure_demo, open_parts
from config import Settings


async def main() -> None:
    settings = Settings()
    configure_logging(settings)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_parts(settings) as parts:
        await ensure_demo(parts)
        await serve(parts, stop)


if __name__ == "__main__":
    asyncio.run(main())
    sys.stdout.flush()
    # A plain exit can abort in the Temporal SDK's native threads while the interpreter shuts down.
    os._exit(0)
