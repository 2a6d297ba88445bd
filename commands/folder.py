"""A folder of types and templates as `tocsin apply` reads it; docs/templates.md describes the layout.

types/<key>.yaml                                one notification type each
templates/<name>/template.yaml                  variables_schema of all its channels and languages
templates/<name>/<channel>.<language>.html      an e-mail; .txt beside it: its text part
templates/<name>/<channel>.<language>.txt       any other channel
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands.errors import CommandError
from commands.sources import BrokenFile, Source
from commands.yaml_files import YamlFile, read_yaml
from domain.channels import Channel
from domain.languages import normalise

Json = dict[str, Any]
TYPE = "notification type"
TEMPLATE = "template"
PART = re.compile(r"(?P<channel>\w+)\.(?P<language>[\w-]+)\.(?P<ending>html|txt)(\.j2)?")
SUBJECT = "Subject:"
SCHEMA_FILE = "template.yaml"


@dataclass(frozen=True)
class Item:
    """One thing to be put: `place` is the key of a type, or name, channel and language of a template.

    `sources` says where each value of `body` stands, by JSON pointer.
    """

    kind: str
    place: tuple[str, ...]
    body: Json
    sources: dict[str, Source]

    @property
    def title(self) -> str:
        return f"{self.kind} {' '.join(self.place)}"


@dataclass(frozen=True)
class Part:
    """One file of a template, without its subject line and the line break at its end."""

    source: Source
    subject: str | None
    text: str


def read_folder(folder: Path) -> list[Item]:
    """Templates before the types that use them. Raises CommandError with a line for each broken file."""
    if not folder.is_dir():
        raise CommandError(f"{folder} is not a folder")
    types, templates = folder / "types", folder / "templates"
    problems = [
        f"{folder / name}: is not read; the folder is {name}s"
        for name in ("type", "template")
        if (folder / name).is_dir()
    ]
    items: list[Item] = []
    for read, paths in ((_template, _entries(templates)), (_type, _entries(types))):
        for path in paths:
            try:
                items += read(path)
            except CommandError as error:
                problems += error.lines
    if not problems and not types.is_dir() and not templates.is_dir():
        problems = [f"{folder} has neither types/ nor templates/"]
    if problems:
        raise CommandError(*problems)
    return items


def _entries(folder: Path) -> list[Path]:
    """Without hidden files, which editors and systems leave."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []


def _type(path: Path) -> Iterator[Item]:
    if path.suffix not in (".yaml", ".yml"):
        raise BrokenFile(Source(path), "a notification type is a .yaml file")
    if path.suffix == ".yml" and path.with_suffix(".yaml").exists():
        raise BrokenFile(Source(path), f"{path.stem}.yaml is the same type")
    said = _mapping(path)
    key = said.value.pop("key", path.stem)
    if key != path.stem:
        raise BrokenFile(said.lines["/key"], f"key: must be the name of the file, {path.stem}")
    yield Item(TYPE, (path.stem,), said.value, said.lines)


def _template(folder: Path) -> Iterator[Item]:
    if not folder.is_dir():
        raise BrokenFile(Source(folder), "a template is a folder: templates/<name>/<channel>.<language>.txt")
    schema = _schema(folder / SCHEMA_FILE)
    parts = [_placed(path) for path in _entries(folder) if path.name != SCHEMA_FILE]
    by_place: dict[tuple[Channel, str], dict[str, Path]] = {}
    for place, ending, path in parts:
        if ending in by_place.setdefault(place, {}):
            raise BrokenFile(Source(path), f"{by_place[place][ending].name} is the same channel and language")
        by_place[place][ending] = path
    for (channel, language), paths in by_place.items():
        yield _item(folder, channel, language, paths, schema)


def _placed(path: Path) -> tuple[tuple[Channel, str], str, Path]:
    match = PART.fullmatch(path.name)
    if match is None:
        raise BrokenFile(Source(path), f"must be {SCHEMA_FILE} or <channel>.<language>.html or .txt")
    if match["channel"] not in list(Channel):
        raise BrokenFile(Source(path), f"unknown channel '{match['channel']}'; there are {', '.join(Channel)}")
    try:
        return (Channel(match["channel"]), normalise(match["language"])), match["ending"], path
    except ValueError as error:
        raise BrokenFile(Source(path), f"{match['language']}: {error}") from None


def _item(folder: Path, channel: Channel, language: str, paths: dict[str, Path], schema: YamlFile) -> Item:
    mail = channel is Channel.EMAIL
    if "html" in paths and not mail:
        raise BrokenFile(Source(paths["html"]), f"{channel} has no HTML; it needs {channel}.{language}.txt")
    if "html" not in paths and mail:
        raise BrokenFile(Source(paths["txt"]), f"is the text part of an e-mail without email.{language}.html")
    text = _part(paths["txt"], with_subject=False) if mail and "txt" in paths else None
    body = _part(paths["html" if mail else "txt"], with_subject=channel is not Channel.SMS)
    return Item(
        TEMPLATE,
        (folder.name, channel, language),
        {
            "subject_template": body.subject,
            "body_template": body.text,
            "text_template": None if text is None else text.text,
            "variables_schema": schema.value,
        },
        {
            "": Source(body.source.path),
            "/subject_template": Source(body.source.path),
            "/body_template": body.source,
            **({} if text is None else {"/text_template": text.source}),
            **{f"/variables_schema{pointer}": source for pointer, source in schema.lines.items()},
        },
    )


def _part(path: Path, *, with_subject: bool) -> Part:
    """`Subject: …` in the first line is the subject, or the title; an empty line may follow it."""
    try:
        text = path.read_text(encoding="utf-8-sig").rstrip("\n")  # some editors begin a file with a mark of it
    except UnicodeDecodeError:
        raise BrokenFile(Source(path), "is not UTF-8") from None
    except OSError as error:
        raise BrokenFile(Source(path), f"cannot be read: {error.strerror}") from None
    if not text.strip():
        raise BrokenFile(Source(path), "is empty")
    first, _, rest = text.partition("\n")
    if not (with_subject and first.startswith(SUBJECT)):
        return Part(Source(path), None, text)
    gap = 1 if rest.startswith("\n") else 0
    return Part(Source(path, 2 + gap), first.removeprefix(SUBJECT).strip(), rest[gap:])


def _schema(path: Path) -> YamlFile:
    """No file, or none of its fields: anything is allowed."""
    if not path.exists():
        return YamlFile(value={}, lines={"": Source(path)})
    said = _mapping(path)
    if strange := set(said.value) - {"variables_schema"}:
        name = min(strange)
        raise BrokenFile(said.lines[f"/{name}"], f"{name}: is not known here; variables_schema is")
    prefix = "/variables_schema"
    lines = {pointer.removeprefix(prefix): line for pointer, line in said.lines.items() if pointer.startswith(prefix)}
    return YamlFile(value=said.value.get("variables_schema") or {}, lines={"": Source(path), **lines})


def _mapping(path: Path) -> YamlFile:
    said = read_yaml(path)
    if not isinstance(said.value, dict):
        raise BrokenFile(Source(path), "must have fields, as in 'name: value'")
    return said
