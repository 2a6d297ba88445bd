"""Write the skeleton of a provider, for `make provider NAME=acme CHANNEL=sms [TITLE=AcmeMobile]`.

The skeleton is a complete adapter of a fictional HTTP API, with its fake vendor, tests, settings and documentation. Its
tests pass at once; what the real vendor documents then replaces the fiction, file by file.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path
from string import Template

from tests.providers.skeleton.channels import CHANNELS

ROOT = Path(__file__).resolve().parents[3]
TEMPLATES = Path(__file__).parent
ENTRY = re.compile(r' {4}"[a-z]')
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
TITLE = re.compile(r"[A-Za-z][A-Za-z0-9 .-]*", re.ASCII)
USAGE = "make provider NAME=acme CHANNEL=sms [TITLE=AcmeMobile]"
FILES = {
    "adapter.py.txt": "providers/{name}.py",
    "vendor.py.txt": "testing/vendors/{name}.py",
    "harness.py.txt": "tests/providers/harness_{name}.py",
    "test.py.txt": "tests/providers/test_{name}.py",
    "delivered.json.txt": "tests/providers/payloads/{name}_delivered.json",
}


class SkeletonRefused(Exception):
    """The text says what to change."""


def write_skeleton(root: Path, name: str, channel: str, title: str = "") -> list[str]:
    """Return the paths of the files that were written or changed, relative to `root`.

    `title` is the vendor's name, if it is not that of the words of `name`. Raises SkeletonRefused, before anything is
    written, for a bad name or title, a channel without templates or a provider that exists.
    """
    values = template_values(name, channel, title)
    targets = {template: root / path.format(name=name) for template, path in FILES.items()}
    package = root / "providers" / name
    if existing := [path for path in (*targets.values(), package) if path.exists()]:
        raise SkeletonRefused(f"{existing[0].relative_to(root)} exists")
    for template, path in targets.items():
        path.write_text(rendered(template, values))
    changed = [
        register(root / "providers/registry.py", values, f"from providers.{name} import {values['cls']}", "{cls}"),
        register(
            root / "tests/providers/harnesses.py",
            values,
            f"from tests.providers.harness_{name} import {values['cls']}Harness",
            "{cls}Harness()",
        ),
        insert_before(root / "docs/providers.md", "| webhook, chat", rendered("check_row.txt", values)),
        insert_before(root / "docs/providers.md", "**Chat**", rendered("details.txt", values)),
        insert_change(root / "CHANGELOG.md", rendered("changelog.txt", values)),
        insert_settings(root / ".env.example", rendered("env.txt", values)),
    ]
    return [str(path.relative_to(root)) for path in dict.fromkeys((*targets.values(), *changed))]


def template_values(name: str, channel: str, title: str) -> dict[str, str]:
    if not NAME.fullmatch(name):
        raise SkeletonRefused(f"NAME={name}: write lower-case letters, digits and single underscores")
    if channel not in CHANNELS:
        raise SkeletonRefused(f"CHANNEL={channel}: there are skeletons for {', '.join(CHANNELS)}")
    title = title or " ".join(map(str.capitalize, name.split("_")))
    if not TITLE.fullmatch(title):
        raise SkeletonRefused(f"TITLE={title}: write letters, digits, spaces, dots and hyphens, and a letter first")
    return {
        **CHANNELS[channel],
        "name": name,
        "upper": name.upper(),
        "cls": "".join(word[0].upper() + word[1:] for word in re.split("[ .-]+", title) if word),
        "title": title,
        "channel": channel.upper(),
        "value": channel,
    }


def rendered(template: str, values: dict[str, str]) -> str:
    return Template((TEMPLATES / template).read_text()).substitute(values)


def write_tables(root: Path) -> None:
    """Write the tables of providers, in a process that imports the new one."""
    subprocess.run([sys.executable, "-m", "providers.table"], cwd=root, check=True)


def register(path: Path, values: dict[str, str], import_line: str, entry: str) -> Path:
    """Add an import and a line of the dict, each in its alphabetical place."""
    lines = path.read_text().splitlines()
    module = import_line.split()[1]
    imports = [number for number, line in enumerate(lines) if line.startswith("from ")]
    at = next((number for number in imports if lines[number].split()[1] > module), imports[-1] + 1)
    lines.insert(at, import_line)
    entries = [number for number, line in enumerate(lines) if ENTRY.match(line)]
    line = f'    "{values["name"]}": {entry.format(**values)},'
    at = next((number for number in entries if lines[number] > line), entries[-1] + 1)
    lines.insert(at, line)
    path.write_text("\n".join([*lines, ""]))
    return path


def insert_before(path: Path, start: str, text: str) -> Path:
    """Add the text before the first line that begins so."""
    lines = path.read_text().splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if line.startswith(start))
    path.write_text("".join([*lines[:at], text, *lines[at:]]))
    return path


def insert_change(path: Path, change: str) -> Path:
    """Add the line to the part about providers of the next release, or above all of its parts."""
    before, heading, rest = path.read_text().partition("## [Unreleased]\n")
    unreleased, next_heading, released = rest.partition("\n## [")
    place = "#### Providers and webhooks\n\n"
    place = place if place in unreleased else "\n"
    changed = unreleased.replace(place, place + change, 1)
    path.write_text(f"{before}{heading}{changed}{next_heading}{released}")
    return path


def insert_settings(path: Path, settings: str) -> Path:
    path.write_text(path.read_text().rstrip("\n") + "\n" + settings)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(usage=USAGE, description="Write the skeleton of a provider.")
    parser.add_argument("name", help="its name, such as acme: settings prefix, receipt URL and metric label")
    parser.add_argument("channel", help=" or ".join(CHANNELS))
    parser.add_argument("title", nargs="?", default="", help="the vendor's name; else the capitalized words of NAME")
    given = parser.parse_args()
    try:
        paths = write_skeleton(ROOT, given.name, given.channel, given.title)
    except SkeletonRefused as error:
        sys.exit(f"make provider: {error}\nusage: {USAGE}")
    write_tables(ROOT)
    print("Written or changed:", *paths, "README.md", sep="\n  ")
    print("\nIts tests pass now. Replace the fictional API by that of the vendor: CONTRIBUTING.md#adding-a-provider.")
    print(f"The provider is complete when this passes: make test-provider NAME={given.name}")


if __name__ == "__main__":
    main()
