"""Check that each provider has a module, a registry line, a fake vendor, a test with payload samples and a docs row."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

from tests.code.tree import ROOT

# They store their messages in Tocsin's database.
WITHOUT_VENDOR = {"in_app", "sandbox"}


def documented(docs: str) -> set[str]:
    """Return the names in the first column of the tables."""
    return set(re.findall(r"^\|\s*`([a-z0-9_]+)`\s*\|", docs, re.MULTILINE))


def missing(name: str, *, parses_receipts: bool, root: Path) -> Iterator[str]:
    """Return the paths that a registered provider lacks."""
    if not any((root / "providers" / path).is_file() for path in (f"{name}.py", f"{name}/adapter.py")):
        yield f"providers/{name}.py or providers/{name}/adapter.py"
    if name not in WITHOUT_VENDOR and not (root / f"testing/vendors/{name}.py").is_file():
        yield f"testing/vendors/{name}.py"
    if not (root / f"tests/providers/test_{name}.py").is_file():
        yield f"tests/providers/test_{name}.py"
    if f'"{name}": ' not in text_of(root / "tests" / "providers" / "harnesses.py"):
        yield f"tests/providers/harnesses.py: a harness for `{name}`"
    if parses_receipts and not samples(name, root):
        yield f"tests/providers/payloads/{name}*"
    if name not in documented(text_of(root / "docs" / "providers.md")):
        yield f"docs/providers.md: a row for `{name}`"


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
        name: list(missing(name, parses_receipts=provider.parses_receipts(), root=ROOT))
        for name, provider in providers.items()
    }
    assert {name: paths for name, paths in lacking.items() if paths} == {}


def test_no_row_in_the_docs_names_a_provider_that_does_not_exist() -> None:
    providers = importlib.import_module("providers.registry").PROVIDERS
    assert documented((ROOT / "docs" / "providers.md").read_text()) - set(providers) == set()


def write(root: Path, *paths: str, text: str = "") -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def test_everything_that_a_provider_lacks_is_named(tmp_path: Path) -> None:
    assert list(missing("twilio", parses_receipts=True, root=tmp_path)) == [
        "providers/twilio.py or providers/twilio/adapter.py",
        "testing/vendors/twilio.py",
        "tests/providers/test_twilio.py",
        "tests/providers/harnesses.py: a harness for `twilio`",
        "tests/providers/payloads/twilio*",
        "docs/providers.md: a row for `twilio`",
    ]


def test_samples_of_a_provider_with_a_longer_name_do_not_count(tmp_path: Path) -> None:
    write(tmp_path, "tests/providers/payloads/twilioverify.json")
    assert "tests/providers/payloads/twilio*" in missing("twilio", parses_receipts=True, root=tmp_path)


def test_a_provider_with_everything_lacks_nothing(tmp_path: Path) -> None:
    write(tmp_path, "providers/twilio.py", "testing/vendors/twilio.py", "tests/providers/test_twilio.py")
    write(tmp_path, "tests/providers/payloads/twilio/sent.json")
    write(tmp_path, "tests/providers/harnesses.py", text='    "twilio": TwilioHarness(),\n')
    write(tmp_path, "docs/providers.md", text="| name | channel |\n|---|---|\n| `twilio` | sms |\n")
    assert list(missing("twilio", parses_receipts=True, root=tmp_path)) == []


def test_a_provider_that_parses_no_receipts_needs_no_samples(tmp_path: Path) -> None:
    assert "tests/providers/payloads/in_app*" not in missing("in_app", parses_receipts=False, root=tmp_path)
