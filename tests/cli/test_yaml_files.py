from pathlib import Path
from typing import Any

import pytest

from commands.file_positions import BrokenFile, Source, locate_message
from commands.yaml_files import read_yaml


def read(folder: Path, text: str) -> Any:
    path = folder / "a.yaml"
    path.write_text(text)
    return read_yaml(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("off", "off"),
        ("on", "on"),
        ("no", "no"),
        ("yes", "yes"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("3", 3),
        ("-1.5", -1.5),
        ("1e3", 1000.0),
        ("08:30", "08:30"),
        ("2026-01-31", "2026-01-31"),
        ("1_000", "1_000"),
        ("010", "010"),
        ('"3"', "3"),
        ("[1, {a: off}]", [1, {"a": "off"}]),
    ],
)
def test_words_stay_text(tmp_path: Path, text: str, value: Any) -> None:
    read_value = read(tmp_path, text).value
    assert read_value == value
    assert type(read_value) is type(value)


def test_every_value_has_the_line_of_its_key(tmp_path: Path) -> None:
    lines = read(tmp_path, "a: 1\nb:\n  - x\n  - y/z:\n      1\n").lines
    numbers = {pointer: source.line for pointer, source in lines.items()}
    assert numbers == {"": 1, "/a": 1, "/b": 2, "/b/0": 3, "/b/1": 4, "/b/1/y~1z": 4}


@pytest.mark.parametrize(
    ("text", "line"),
    [("a: 1\na: 2\n", 2), ("a: [\n", 2), ("a:\n\tb: 1\n", 2), ("", 1), ("!x 1", 1)],
)
def test_a_broken_file_has_a_line(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(BrokenFile, match=rf"a\.yaml:{line}: "):
        read(tmp_path, text)


def test_a_file_that_is_not_text_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BrokenFile):
        read_yaml(path)


def test_an_error_below_a_known_line_is_reported_at_that_line() -> None:
    sources = {"": Source(Path("f")), "/a": Source(Path("f"), 4)}
    assert locate_message(sources, "/a/b/0", "is odd") == "f:4: a.b.0: is odd"
    assert locate_message(sources, "/c", "is odd") == "f:1: c: is odd"
    assert locate_message(sources, "/a", "syntax error (line 3)") == "f:6: a: syntax error"
