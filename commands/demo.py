"""Show the result of `make run`: the example shop, one notification through the API, and the addresses of the tools.

If a channel has real providers, the demo sends nothing by it and suggests no command that would reach the example
recipients.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from commands.apply import add_missing
from commands.client import ApiClient, open_api
from commands.errors import CommandError
from commands.example_recipients import add_missing_recipients
from commands.timeline import ENTRY_WIDTH
from config import Settings
from domain.channels import Channel
from embedded.runfile import RunInfo

WAIT_SECONDS = 30.0
SHOP_DIR = Path(__file__).resolve().parent.parent / "examples" / "shop"
SANDBOX = "sandbox"
# The route of order.shipped.
SHOP_CHANNELS = {Channel.PUSH, Channel.SMS, Channel.EMAIL}
DEMO_EMAIL = "ada@example.com"
# The API rejects the placeholder, so that it must be replaced.
EMAIL_PLACEHOLDER = "YOUR ADDRESS"

DEMO_SEND = {
    "notification_type": "welcome",
    "recipient": {"recipient_id": "ada", "email": DEMO_EMAIL, "locale": "en"},
    "payload": {"name": "Ada"},
}
SHOP_HINTS = """The example shop in examples/shop is loaded. In another terminal:

  ./tocsin send order.shipped mia --payload '{"order": "A-1"}' --wait
  .venv/bin/python examples/shop/walkthrough.py
"""
REAL_PROVIDER_HINTS = "The example shop in examples/shop is loaded. Its recipients are fictional: send to yourself.\n"
CURL_EXAMPLE = """curl -X POST {url}/api/v1/notifications/send \\
  -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
  -d '{{"notification_type": "welcome", "payload": {{"name": "Ada"}},
       "recipient": {{"recipient_id": "ada", "email": "{email}"}}}}'"""


async def print_welcome(settings: Settings, info: RunInfo) -> None:
    """Print the welcome text. If the demo cannot be sent, because its type or recipient was changed, print the
    reason."""
    email_providers = real_pools(settings).get(Channel.EMAIL)
    try:
        async with open_api(info.api_url, info.api_key) as api:
            await load_shop(api)
            demo_lines = (
                await send_demo(api)
                if email_providers is None
                else [f"Email is sent by {email_providers}, so no demo was sent."]
            )
    except CommandError as error:
        demo_lines = [f"The demo notification was not sent: {error}"]
    print(welcome_text(settings, info, demo_lines), flush=True)


async def load_shop(api: ApiClient) -> None:
    """Add the types, templates and recipients that are missing. A later `make run` does not overwrite changes."""
    await add_missing(api, SHOP_DIR)
    await add_missing_recipients(api, SHOP_DIR / "recipients.yaml")


async def send_demo(api: ApiClient) -> list[str]:
    sent = await api.call("POST", "/notifications/send", DEMO_SEND)
    return describe_result(await api.wait_until_final(sent["id"], WAIT_SECONDS))


def describe_result(notification: dict[str, Any]) -> list[str]:
    lines = [
        f"  {one['at']}  {one['kind']:<{ENTRY_WIDTH}} {one['channel'] or ''}".rstrip()
        for one in notification["timeline"]
    ]
    reason = f" ({notification['failure_reason']})" if notification["failure_reason"] else ""
    link = [f"  {notification['temporal_url']}"] if notification["temporal_url"] else []
    return [f"A notification was just sent and is {notification['status']}{reason}:", *lines, *link]


def real_pools(settings: Settings) -> dict[Channel, str]:
    """Return the channels whose messages leave this machine, with their providers."""
    pools = {channel: settings.pool(channel) for channel in Channel if channel is not Channel.IN_APP}
    return {channel: ", ".join(pool) for channel, pool in pools.items() if set(pool) - {SANDBOX}}


def welcome_text(settings: Settings, info: RunInfo, demo_lines: list[str]) -> str:
    real = real_pools(settings)
    return "\n".join(
        [
            "",
            "Tocsin is running. Ctrl-C stops it; the data stays.",
            "",
            f"  API docs     {info.api_url}/docs",
            *_outbox_lines(settings, info),
            *([f"  Temporal UI  {info.temporal_ui_url}"] if info.temporal_ui_url else []),
            f"  Metrics      {' '.join([f'{info.api_url}/metrics', *info.worker_metrics_urls])}",
            f"  Dev key      {info.api_key}",
            *(f"  {channel:<12} {pool}" for channel, pool in real.items()),
            "",
            *demo_lines,
            "",
            REAL_PROVIDER_HINTS if SHOP_CHANNELS & real.keys() else SHOP_HINTS,
            "Send one yourself:",
            "",
            CURL_EXAMPLE.format(
                url=info.api_url, key=info.api_key, email=EMAIL_PLACEHOLDER if Channel.EMAIL in real else DEMO_EMAIL
            ),
            "",
        ]
    )


def _outbox_lines(settings: Settings, info: RunInfo) -> Iterator[str]:
    """Yield the line of the outbox, with the channels that use the sandbox if some do not."""
    sandbox_channels = [channel for channel in Channel if SANDBOX in settings.pool(channel)]
    if sandbox_channels:
        suffix = "" if len(sandbox_channels) == len(Channel) - 1 else f": {', '.join(sandbox_channels)}"
        yield f"  Outbox       {info.api_url}/outbox      messages of the sandbox{suffix}"
