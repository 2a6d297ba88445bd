"""Write the tables of providers in `README.md` and `docs/providers.md`: `python -m providers.table`. A test compares
them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from config.sources import PREFIX, ProviderSettings
from domain.channels import Channel
from domain.durations import format_rounded
from domain.evidence import ReceiptKind
from providers.base import Provider
from providers.registry import PROVIDERS
from providers.sandbox import Sandbox

COLUMNS = ("name", "vendor", "channels", "lookup", "repeated request", "receipts", "signature", "settings")
CHANNEL_LABELS: Mapping[Channel, str] = {
    Channel.SMS: "SMS",
    Channel.WEB_PUSH: "web push",
    Channel.IN_APP: "in-app inbox",
}


def build_tables() -> dict[str, str]:
    """Return the table of each page in Markdown, with all built-in providers."""
    providers = [PROVIDERS[name] for name in sorted(PROVIDERS)]
    real = [provider for provider in providers if provider is not Sandbox]
    channels = [
        (CHANNEL_LABELS.get(channel, channel), ", ".join(each.title for each in real if channel in each.channels))
        for channel in Channel
    ]
    return {
        "README.md": _table(("channel", "providers"), channels),
        "docs/providers.md": _table(COLUMNS, map(_row, providers)),
    }


def write_tables(root: Path) -> None:
    """Replace the first table of each page that has the same first column."""
    for path, table in build_tables().items():
        first_column = re.escape(table[: table.index("|", 1)])
        page = (root / path).read_text(encoding="utf-8")
        if old_table := re.search(rf"^{first_column}.*(\n\|.*)*", page, re.MULTILINE):
            page = page[: old_table.start()] + table + page[old_table.end() :]
        (root / path).write_text(page, encoding="utf-8")


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join([_line(header), f"|{'---|' * len(header)}", *map(_line, rows)])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _row(provider: type[Provider]) -> list[str]:
    return [
        f"`{provider.name}`",
        provider.title,
        ", ".join(channel for channel in Channel if channel in provider.channels),
        _lookup(provider),
        _repeats(provider),
        ", ".join(_receipts(provider)) or "none",
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


def _receipts(provider: type[Provider]) -> Iterator[str]:
    yield from (kind for kind in ReceiptKind if kind in provider.receipt_kinds)
    if provider.answer_sms is not Provider.answer_sms:
        yield "SMS of recipients"


def _settings(name: str, settings: type[ProviderSettings]) -> Iterator[str]:
    """Yield the names of the variables, without their common prefix after the first. `rate` is the last."""
    prefix = f"{PREFIX}{name.upper()}"
    fields = {field: info.alias or field for field, info in settings.model_fields.items()}
    ordered = [alias for field, alias in fields.items() if field != "rate"] + [fields["rate"]]
    for position, alias in enumerate(ordered):
        yield f"`{prefix if position == 0 else ''}_{alias.upper()}`"


if __name__ == "__main__":
    write_tables(Path())
