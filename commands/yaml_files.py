"""Read YAML with the line of every value. Only `true` and `false` are booleans (`off` and `no` are strings), and
duplicate keys are errors."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from commands.file_positions import BrokenFile, Source

PLAIN_SCALARS = {
    "tag:yaml.org,2002:null": (r"null|Null|NULL|~|", ["n", "N", "~", ""]),
    "tag:yaml.org,2002:bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "tag:yaml.org,2002:int": (r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    "tag:yaml.org,2002:float": (r"[-+]?[0-9]+(\.[0-9]+([eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)", list("-+0123456789")),
    "tag:yaml.org,2002:merge": (r"<<", ["<"]),
}


class PlainYamlLoader(yaml.SafeLoader):
    """Load the scalars of YAML 1.2. YAML 1.1, which PyYAML reads, would turn `{sms: off}` into false."""

    yaml_implicit_resolvers = {}


for tag, (pattern, first) in PLAIN_SCALARS.items():
    PlainYamlLoader.add_implicit_resolver(tag, re.compile(rf"(?:{pattern})\Z"), first)


@dataclass(frozen=True)
class YamlFile:
    """The content of a file. `lines` maps JSON pointers to sources."""

    value: Any
    lines: dict[str, Source]


def read_yaml(path: Path) -> YamlFile:
    """Raise BrokenFile."""
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
                raise BrokenFile(Source(path, key.start_mark.line + 1), f"duplicate key '{name}'")
            seen.add(name)
            below = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
            yield from _lines(path, value, below)
            # The line of a field is that of its key, because its value may be a block that begins below.
            yield below, Source(path, key.start_mark.line + 1)
