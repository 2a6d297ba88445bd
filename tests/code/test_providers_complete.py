"""Check that each provider has all parts: code, tests and documentation. `tests/docs/test_provider_table.py` checks the
tables, and `test_settings_documented.py` the settings.
"""

import importlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from domain.evidence import ReceiptKind
from tests.code.tree import ROOT

# They have no vendor, or several, and pages of their own.
WITHOUT_VENDOR = {"chat", "in_app", "sandbox", "web_push", "webhook"}
# They store their messages in Tocsin's database.
WITHOUT_FAKE = {"in_app", "sandbox"}
REASON_TABLE = re.compile(r"^ *[A-Z_]*REASONS: ", re.MULTILINE)


def missing(name: str, title: str, *, parses_receipts: bool, root: Path) -> Iterator[str]:
    """Return the paths that a registered provider lacks."""
    if not adapter_files(name, root):
        yield f"providers/{name}.py or providers/{name}/adapter.py"
    if name not in WITHOUT_FAKE and not (root / f"testing/vendors/{name}.py").is_file():
        yield f"testing/vendors/{name}.py"
    if not (root / f"tests/providers/test_{name}.py").is_file():
        yield f"tests/providers/test_{name}.py"
    if f'"{name}": ' not in text_of(root / "tests" / "providers" / "harnesses.py"):
        yield f"tests/providers/harnesses.py: a harness for `{name}`"
    if parses_receipts and not samples(name, root):
        yield f"tests/providers/payloads/{name}*"
    if name not in WITHOUT_VENDOR:
        yield from missing_descriptions(name, title, root)


def missing_descriptions(name: str, title: str, root: Path) -> Iterator[str]:
    """Return what is not described of a provider with a vendor of its own."""
    if has_untested_reasons(name, root):
        yield f"tests/providers/test_{name}.py: the `meaning` of each code of its tables of reasons"
    page = text_of(root / "docs" / "providers.md")
    if not re.search(rf"^\| {name} \|", page, re.MULTILINE):
        yield f"docs/providers.md: a row for {name} in *Provider checks*"
    if not re.search(rf"^(\*\*{re.escape(title)}\*\*|## {re.escape(title)})$", page, re.MULTILINE):
        yield f"docs/providers.md: **{title}** in *Vendor details*"
    if title not in " ".join(text_of(root / "CHANGELOG.md").split()):
        yield f"CHANGELOG.md: {title}"


def has_untested_reasons(name: str, root: Path) -> bool:
    """Return whether the adapter has tables of reasons whose meanings no test states."""
    shared = text_of(root / "tests/providers/test_failure_reasons.py")
    own = [text_of(path) for path in (root / "tests/providers").glob(f"test_{name}*.py")]
    is_tested = f"from providers.{name} import" in shared or any("meaning(" in text for text in own)
    return not is_tested and any(REASON_TABLE.search(text_of(path)) for path in adapter_files(name, root))


def adapter_files(name: str, root: Path) -> list[Path]:
    """Return the modules of the adapter, if its package has the main one."""
    package = root / "providers" / name
    if (package / "adapter.py").is_file():
        return sorted(package.glob("*.py"))
    return [path for path in [root / "providers" / f"{name}.py"] if path.is_file()]


def text_of(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def samples(name: str, root: Path) -> list[Path]:
    """Return `payloads/twilio.json`, `payloads/twilio_delivered.json` or files in `payloads/twilio/`."""
    folder = root / "tests" / "providers" / "payloads"
    own = [path for path in folder.glob(f"{name}*") if re.fullmatch(rf"{name}([._-].*)?", path.name)]
    return [file for path in own for file in ([path] if path.is_file() else path.iterdir())]


def test_every_provider_is_complete() -> None:
    providers = importlib.import_module("providers.registry").PROVIDERS
    assert providers
    lacking = {
        name: list(missing(name, provider.title, parses_receipts=provider.parses_receipts(), root=ROOT))
        for name, provider in providers.items()
    }
    assert {name: paths for name, paths in lacking.items() if paths} == {}


def test_no_provider_declares_receipts_of_an_unknown_kind() -> None:
    """The table of providers would show it. Words that prove nothing are not in the adapter's table of words."""
    providers = importlib.import_module("providers.registry").PROVIDERS
    assert [name for name, provider in providers.items() if ReceiptKind.UNKNOWN in provider.receipt_kinds] == []


COMPLETE: Mapping[str, str] = {
    "providers/twilio.py": "",
    "testing/vendors/twilio.py": "",
    "tests/providers/test_twilio.py": "",
    "tests/providers/payloads/twilio/sent.json": "",
    "tests/providers/harnesses.py": '    "twilio": TwilioHarness(),\n',
    "docs/providers.md": "| twilio | the account | |\n\n**Twilio**\n",
    "CHANGELOG.md": "- Providers for SMTP and Twilio.\n",
}


def write(root: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def missing_of_twilio(root: Path, *, parses_receipts: bool = True) -> list[str]:
    return list(missing("twilio", "Twilio", parses_receipts=parses_receipts, root=root))


def test_everything_that_a_provider_lacks_is_named(tmp_path: Path) -> None:
    assert missing_of_twilio(tmp_path) == [
        "providers/twilio.py or providers/twilio/adapter.py",
        "testing/vendors/twilio.py",
        "tests/providers/test_twilio.py",
        "tests/providers/harnesses.py: a harness for `twilio`",
        "tests/providers/payloads/twilio*",
        "docs/providers.md: a row for twilio in *Provider checks*",
        "docs/providers.md: **Twilio** in *Vendor details*",
        "CHANGELOG.md: Twilio",
    ]


def test_samples_of_a_provider_with_a_longer_name_do_not_count(tmp_path: Path) -> None:
    write(tmp_path, {"tests/providers/payloads/twilioverify.json": ""})
    assert "tests/providers/payloads/twilio*" in missing_of_twilio(tmp_path)


def test_a_provider_with_everything_lacks_nothing(tmp_path: Path) -> None:
    write(tmp_path, COMPLETE)
    assert missing_of_twilio(tmp_path) == []


def test_reasons_without_a_stated_meaning_are_named(tmp_path: Path) -> None:
    table = '    REFUSAL_REASONS: ClassVar[Mapping[str, str]] = {"1": "invalid_address"}\n'
    write(tmp_path, {**COMPLETE, "providers/twilio.py": table})
    [lacking] = missing_of_twilio(tmp_path)
    assert lacking.startswith("tests/providers/test_twilio.py: the `meaning`")
    write(tmp_path, {"tests/providers/test_twilio.py": "assert meaning(reason) == REASONS[code]\n"})
    assert missing_of_twilio(tmp_path) == []


def test_a_provider_that_parses_no_receipts_needs_no_samples(tmp_path: Path) -> None:
    assert "tests/providers/payloads/twilio*" not in missing_of_twilio(tmp_path, parses_receipts=False)
