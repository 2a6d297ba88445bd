"""Print the table of providers for `docs/providers.md`: `python -m providers.table`. A test compares both."""

import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta

from config.sources import PREFIX, ProviderSettings
from domain.channels import Channel
from domain.durations import format_rounded
from domain.evidence import ReceiptKind
from providers.base import Provider
from providers.registry import PROVIDERS

COLUMNS = ("name", "channels", "lookup", "repeated request", "receipts", "signature", "settings")


def build_table() -> str:
    """Return the table in Markdown, with a row for each built-in provider."""
    rows = [_row(PROVIDERS[name]) for name in sorted(PROVIDERS)]
    return "\n".join([_line(COLUMNS), f"|{'---|' * len(COLUMNS)}", *map(_line, rows)])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _row(provider: type[Provider]) -> list[str]:
    return [
        f"`{provider.name}`",
        ", ".join(channel for channel in Channel if channel in provider.channels),
        _lookup(provider),
        _repeats(provider),
        ", ".join(kind for kind in ReceiptKind if kind in provider.receipt_kinds) or "none",
        provider.signature or "none",
        ", ".join(_settings(provider.name, provider.settings)),
    ]


def _lookup(provider: type[Provider]) -> str:
    if provider.lookup == "none":
        return "none"
    return f"{provider.lookup.replace('_', ' ')}, {format_rounded(timedelta(seconds=provider.settle_window))}"


def _repeats(provider: type[Provider]) -> str:
    if provider.idempotent:
        return "recognized"
    window = provider.idempotency_window
    return f"recognized for {format_rounded(window)}" if window else "sent again"


def _settings(name: str, settings: type[ProviderSettings]) -> Iterator[str]:
    """Yield the names of the variables, without their common prefix after the first. `rate` is the last."""
    prefix = f"{PREFIX}{name.upper()}"
    fields = {field: info.alias or field for field, info in settings.model_fields.items()}
    ordered = [alias for field, alias in fields.items() if field != "rate"] + [fields["rate"]]
    for position, alias in enumerate(ordered):
        yield f"`{prefix if position == 0 else ''}_{alias.upper()}`"


if __name__ == "__main__":
    sys.stdout.write(f"{build_table()}\n")
