"""Process entry of the API: `python -m api`, or `tocsin api`."""

import asyncio
import os
import signal
import sys

import structlog

from api.server import GRACE, serve
from bootstrap import Parts, open_parts
from config import ServerSettings
from config_sources import WrongSettings
from dispatch.sdk_metrics import serve_sdk_metrics
from dispatch.start_holds import hold_on_start
from logs import configure_logging
from metrics.page import Page
from process_flags import allow_open_files, hide_memory
from storage.api_keys import SCOPES, create_key, ensure_tenant
from storage.encryption_keys import confirm_keys
from storage.tenants import claim_installation
from supervision import run_on_uvloop
from watchdog import Watchdog

DEMO_TENANT = "demo"
OTHER_FILES = 512  # that are no connections of clients: Postgres, providers, logs, pipes of rendering processes

log = structlog.get_logger(__name__)


async def main(watchdog: Watchdog) -> None:
    settings = ServerSettings.read()
    configure_logging(settings)
    allow_connections(settings.api_connections)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_parts(settings, page=Page(serve_sdk_metrics())) as parts:
        await confirm_keys(parts.database)
        await ensure_demo(parts)
        await hold_on_start(parts.database, settings.hold_on_start)
        await serve(parts, stop, watchdog.expect_end)


def allow_connections(number: int) -> None:
    needed = number + OTHER_FILES
    if (allowed := allow_open_files(needed)) < needed:
        log.warning(
            "too few open files for TOCSIN_API_CONNECTIONS: raise the hard limit (ulimit -Hn), or lower the setting",
            needed=needed,
            allowed=allowed,
        )


async def ensure_demo(parts: Parts) -> None:
    """The demo tenant and its key, in development."""
    secret = parts.settings.dev_api_key.get_secret_value()
    if not parts.settings.dev or not secret:
        return
    async with parts.database.transaction() as session:
        tenant = await ensure_tenant(session, DEMO_TENANT, "Demo")
        await claim_installation(session, tenant.id)
        await create_key(session, tenant.id, "development", SCOPES, secret=secret, env=parts.settings.env)


if __name__ == "__main__":
    code = 0
    hide_memory()
    try:
        watchdog = Watchdog(GRACE)
        run_on_uvloop(main(watchdog), watchdog)
    except WrongSettings as error:
        sys.stderr.writelines(f"api: {line}\n" for line in error.lines)
        code = 2
    sys.stdout.flush()
    sys.stderr.flush()
    # A plain exit can abort in the Temporal SDK's native threads while the interpreter shuts down.
    os._exit(code)
