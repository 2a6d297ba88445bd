"""Read a folder of types and templates for `tocsin apply`. docs/templates.md describes the layout.

types/<key>.yaml                                one notification type
templates/<name>/template.yaml                  variables_schema of all its channels and languages
templates/<name>/<channel>.<language>.html      an email; a .txt file of the same name is its text part
templates/<name>/<channel>.<language>.txt       any other channel
templates/<name>/<channel>.<language>.yaml      rich fields of a push, web_push or in_app message
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from commands.errors import CommandError
from commands.file_positions import BrokenFile, Source
from commands.yaml_files import YamlFile, read_yaml
from domain.channels import Channel
from domain.json_types import Json
from domain.languages import normalize_tag

TYPE_ITEM = "notification type"
TEMPLATE_ITEM = "template"
TEXT_FILE_NAME = re.compile(r"(?P<channel>\w+)\.(?P<language>[\w-]+)\.(?P<ending>html|txt|yaml)(\.j2)?")
SUBJECT_PREFIX = "Subject:"
SCHEMA_FILE = "template.yaml"


@dataclass(frozen=True)
class FolderItem:
    """One type or template. `resource_key` is the key of a type, or name, channel and language of a template.

    `sources` maps the JSON pointer of each value of `body` to its position.
    """

    resource_type: str
    resource_key: tuple[str, ...]
    body: Json
    sources: dict[str, Source]

    @property
    def title(self) -> str:
        return f"{self.resource_type} {' '.join(self.resource_key)}"


@dataclass(frozen=True)
class TemplateText:
    """One file of a template, without its subject line and its final line break."""

    source: Source
    subject: str | None
    text: str


def read_folder(folder: Path) -> list[FolderItem]:
    """Return templates before the types that use them. Raise CommandError with a line for each broken file."""
    if not folder.is_dir():
        raise CommandError(f"{folder} is not a folder")
    types, templates = folder / "types", folder / "templates"
    problems = [
        f"{folder / name}: is not read; rename it to {name}s"
        for name in ("type", "template")
        if (folder / name).is_dir()
    ]
    items: list[FolderItem] = []
    for read, paths in ((_read_template, _entries(templates)), (_read_type, _entries(types))):
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
    """Return the files without hidden ones, which editors and systems create."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []


def _read_type(path: Path) -> Iterator[FolderItem]:
    if path.suffix not in (".yaml", ".yml"):
        raise BrokenFile(Source(path), "a notification type is a .yaml file")
    if path.suffix == ".yml" and path.with_suffix(".yaml").exists():
        raise BrokenFile(Source(path), f"{path.stem}.yaml is a file of the same type")
    content = _read_mapping(path)
    key = content.value.pop("key", path.stem)
    if key != path.stem:
        raise BrokenFile(content.lines["/key"], f"key: must equal the file name, {path.stem}")
    yield FolderItem(TYPE_ITEM, (path.stem,), content.value, content.lines)


def _read_template(folder: Path) -> Iterator[FolderItem]:
    if not folder.is_dir():
        raise BrokenFile(Source(folder), "a template is a folder: templates/<name>/<channel>.<language>.txt")
    schema = _read_schema(folder / SCHEMA_FILE)
    text_files = [_parse_file_name(path) for path in _entries(folder) if path.name != SCHEMA_FILE]
    files_by_key: dict[tuple[Channel, str], dict[str, Path]] = {}
    for resource_key, ending, path in text_files:
        if ending in files_by_key.setdefault(resource_key, {}):
            raise BrokenFile(
                Source(path), f"{files_by_key[resource_key][ending].name} has the same channel and language"
            )
        files_by_key[resource_key][ending] = path
    for (channel, language), paths in files_by_key.items():
        yield _build_template_item(folder, channel, language, paths, schema)


def _parse_file_name(path: Path) -> tuple[tuple[Channel, str], str, Path]:
    match = TEXT_FILE_NAME.fullmatch(path.name)
    if match is None:
        raise BrokenFile(Source(path), f"must be {SCHEMA_FILE} or <channel>.<language>.html, .txt or .yaml")
    if match["channel"] not in list(Channel):
        raise BrokenFile(Source(path), f"unknown channel '{match['channel']}'; choose from {', '.join(Channel)}")
    try:
        return (Channel(match["channel"]), normalize_tag(match["language"])), match["ending"], path
    except ValueError as error:
        raise BrokenFile(Source(path), f"{match['language']}: {error}") from None


def _build_template_item(
    folder: Path, channel: Channel, language: str, paths: dict[str, Path], schema: YamlFile
) -> FolderItem:
    is_email = channel is Channel.EMAIL
    if "yaml" in paths and "txt" not in paths and not is_email:
        raise BrokenFile(Source(paths["yaml"]), f"has rich fields, but the text {channel}.{language}.txt is missing")
    if "html" in paths and not is_email:
        raise BrokenFile(
            Source(paths["html"]), (f"{channel} does not use HTML; rename the file to {channel}.{language}.txt")
        )
    if "html" not in paths and is_email:
        raise BrokenFile(Source(paths["txt"]), f"is the text part of an email, but email.{language}.html is missing")
    text = _read_text(paths["txt"], with_subject=False) if is_email and "txt" in paths else None
    body = _read_text(paths["html" if is_email else "txt"], with_subject=channel is not Channel.SMS)
    push = _read_mapping(paths["yaml"]) if "yaml" in paths else YamlFile(value=None, lines={})
    return FolderItem(
        TEMPLATE_ITEM,
        (folder.name, channel, language),
        {
            "subject_template": body.subject,
            "body_template": body.text,
            "text_template": None if text is None else text.text,
            "push": push.value,
            "variables_schema": schema.value,
        },
        {
            "": Source(body.source.path),
            "/subject_template": Source(body.source.path),
            "/body_template": body.source,
            **({} if text is None else {"/text_template": text.source}),
            **{f"/push{pointer}": source for pointer, source in push.lines.items()},
            **{f"/variables_schema{pointer}": source for pointer, source in schema.lines.items()},
        },
    )


def _read_text(path: Path, *, with_subject: bool) -> TemplateText:
    """Read a text. A first line `Subject: …` is the subject or title; an empty line may follow it."""
    try:
        text = path.read_text(encoding="utf-8-sig").rstrip("\n")  # some editors begin a file with a byte order mark
    except UnicodeDecodeError:
        raise BrokenFile(Source(path), "is not UTF-8") from None
    except OSError as error:
        raise BrokenFile(Source(path), f"cannot be read: {error.strerror}") from None
    if not text.strip():
        raise BrokenFile(Source(path), "is empty")
    first, _, rest = text.partition("\n")
    if not (with_subject and first.startswith(SUBJECT_PREFIX)):
        return TemplateText(Source(path), None, text)
    gap_lines = 1 if rest.startswith("\n") else 0
    return TemplateText(Source(path, 2 + gap_lines), first.removeprefix(SUBJECT_PREFIX).strip(), rest[gap_lines:])


def _read_schema(path: Path) -> YamlFile:
    """Return the schema. Without a file or a schema in it, any payload is allowed."""
    if not path.exists():
        return YamlFile(value={}, lines={"": Source(path)})
    content = _read_mapping(path)
    if unknown := set(content.value) - {"variables_schema"}:
        name = min(unknown)
        raise BrokenFile(content.lines[f"/{name}"], f"{name}: is not a known field; the only one is variables_schema")
    prefix = "/variables_schema"
    lines = {
        pointer.removeprefix(prefix): line for pointer, line in content.lines.items() if pointer.startswith(prefix)
    }
    return YamlFile(value=content.value.get("variables_schema") or {}, lines={"": Source(path), **lines})


def _read_mapping(path: Path) -> YamlFile:
    content = read_yaml(path)
    if not isinstance(content.value, dict):
        raise BrokenFile(Source(path), "must be a mapping, such as 'name: value'")
    return content
