"""Test that files as editors and other systems write them are read, or rejected with one clear line each."""

from pathlib import Path

import pytest

from commands.errors import CommandError
from commands.folder import FolderItem, read_folder

TYPE = "route:\n  - channels: [sms]\ntemplates: {sms: hello}\n"
BOM = "\ufeff"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "types/hello.yaml", TYPE)
    write(tmp_path, "templates/hello/push.en.txt", "Subject: Hi\n\nHello\n")
    write(tmp_path, "templates/hello/template.yaml", "variables_schema: {type: object}\n")
    return tmp_path


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def complaints(folder: Path) -> list[str]:
    with pytest.raises(CommandError) as refused:
        read_folder(folder)
    return [line.removeprefix(f"{folder}/") for line in refused.value.lines]


def plain(items: list[FolderItem]) -> list[tuple[tuple[str, ...], object]]:
    return [(item.resource_key, item.body) for item in items]


def test_one_type_with_both_file_endings_is_refused(folder: Path) -> None:
    write(folder, "types/hello.yml", TYPE)
    assert complaints(folder) == ["types/hello.yml:1: hello.yaml is a file of the same type"]


def test_the_short_ending_alone_is_a_type(folder: Path) -> None:
    before = plain(read_folder(folder))
    (folder / "types" / "hello.yaml").rename(folder / "types" / "hello.yml")
    assert plain(read_folder(folder)) == before


def test_a_byte_order_mark_is_ignored(folder: Path) -> None:
    before = plain(read_folder(folder))
    for path in folder.rglob("*.*"):
        path.write_text(BOM + path.read_text(encoding="utf-8"), encoding="utf-8")
    assert plain(read_folder(folder)) == before


def test_rich_fields_have_a_file_next_to_the_text(folder: Path) -> None:
    write(folder, "templates/hello/push.en.yaml", "image: '{{ photo }}'\nactions:\n  - action: a\n    title: A\n")
    item = read_folder(folder)[0]
    assert item.body["push"] == {"image": "{{ photo }}", "actions": [{"action": "a", "title": "A"}]}
    assert item.sources["/push/actions/0/title"].line == 4
    (folder / "templates/hello/push.en.txt").unlink()
    assert complaints(folder) == [
        "templates/hello/push.en.yaml:1: has rich fields, but the text push.en.txt is missing"
    ]


@pytest.mark.parametrize("name", ["types/hello.yaml", "templates/hello/push.en.txt", "templates/hello/template.yaml"])
def test_a_path_that_is_no_file_is_reported_with_other_errors(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).mkdir()
    write(folder, "types/other.txt", TYPE)
    assert complaints(folder) == [
        f"{name}:1: cannot be read: Is a directory",
        "types/other.txt:1: a notification type is a .yaml file",
    ]


@pytest.mark.parametrize("name", ["types/more.yaml", "templates/hello/sms.en.txt"])
def test_a_link_that_leads_nowhere_is_named(folder: Path, name: str) -> None:
    (folder / name).symlink_to(folder / "nowhere")
    assert complaints(folder) == [f"{name}:1: cannot be read: No such file or directory"]


@pytest.mark.parametrize("name", ["types/hello.yaml", "templates/hello/push.en.txt"])
def test_a_file_that_is_not_utf_8_is_named(folder: Path, name: str) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes() + "# Grüße\n".encode("latin-1"))
    [line] = complaints(folder)
    assert line.startswith(f"{name}:1: is not ")
    assert line.endswith("UTF-8")
