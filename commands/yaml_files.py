"""YAML as people mean it, with the line of every value: `off` is a word, `no` a language, a key stands there once."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from commands.sources import BrokenFile, Source

PLAIN_SCALARS = {
    "tag:yaml.org,2002:null": (r"null|Null|NULL|~|", ["n", "N", "~", ""]),
    "tag:yaml.org,2002:bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "tag:yaml.org,2002:int": (r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    "tag:yaml.org,2002:float": (r"[-+]?[0-9]+(\.[0-9]+([eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)", list("-+0123456789")),
    "tag:yaml.org,2002:merge": (r"<<", ["<"]),
}


class PlainYamlLoader(yaml.SafeLoader):
    """The plain words of YAML 1.2. In 1.1, which PyYAML reads, `{sms: off}` would switch SMS to false."""

    yaml_implicit_resolvers = {}


for tag, (pattern, first) in PLAIN_SCALARS.items():
    PlainYamlLoader.add_implicit_resolver(tag, re.compile(rf"(?:{pattern})\Z"), first)


@dataclass(frozen=True)
class YamlFile:
    """What a file says, and `lines`: JSON pointer → line."""

    value: Any
    lines: dict[str, Source]


def read_yaml(path: Path) -> YamlFile:
    """Raises BrokenFile."""
    loader = None
    try:
        loader = PlainYamlLoader(path.read_text(encoding="utf-8-sig"))
        node = loader.get_single_node()
        if node is None:
            raise BrokenFile(Source(path), "is empty")
        lines = dict(_lines(path, node, ""))
        return YamlFile(value=loader.construct_document(node), lines=lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise BrokenFile(Source(path, mark.line + 1 if mark else 1), error.problem or "is not YAML") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise BrokenFile(Source(path), "is not YAML in UTF-8") from None
    except RecursionError:
        raise BrokenFile(Source(path), "is nested too deeply") from None
    except OSError as error:
        raise BrokenFile(Source(path), f"cannot be read: {error.strerror}") from None
    finally:
        if loader is not None:
            loader.dispose()


def _lines(path: Path, node: yaml.Node, pointer: str) -> Iterator[tuple[str, Source]]:
    yield pointer, Source(path, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _lines(path, item, f"{pointer}/{index}")
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                raise BrokenFile(Source(path, key.start_mark.line + 1), f"'{name}' stands here twice")
            seen.add(name)
            below = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
            yield from _lines(path, value, below)
            # Of a field itself its key tells the line: the value may be a block that begins below it.
            yield below, Source(path, key.start_mark.line + 1)
