"""Write the skeleton of a provider, for `make provider NAME=acme CHANNEL=sms`.

The skeleton is a complete adapter of a fictional HTTP API, with its fake vendor, tests, settings and documentation. Its
tests pass at once; what the real vendor documents then replaces the fiction, file by file.
"""

import argparse
import re
import sys
from pathlib import Path
from string import Template

ROOT = Path(__file__).resolve().parents[3]
TEMPLATES = Path(__file__).parent
ENTRY = re.compile(r' {4}"[a-z]')
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
# Channel → what differs by channel in the templates.
CHANNELS = {
    "email": {
        "label": "email",
        "sender": "shop@example.com",
        "fields": '"to", "mime", "reference"',
        "content": '"subject": "Hello", "text": "Hello, Ada"',
        "address_import": "from email.headerregistry import Address\n",
        "email_imports": """\
from providers.email_fields import email_of, find_refusal, sender_of
from providers.email_message import build_email
""",
        "refusal_method": """\
    def content_refusal(self, content: Mapping[str, Any]) -> ProviderRefusal | None:
        return find_refusal(content)

""",
        "request_body": """\
        if refusal := self.content_refusal(message.content):
            return refusal
        sender = sender_of(message, self._sender, "")
        email = build_email(message, Address(sender.name, addr_spec=sender.email), email_of(message))
        body = {
            "to": [email_of(message), *message.email.cc, *message.email.bcc],
            "mime": email.as_string(),
            "reference": str(message.attempt_id),
        }
""",
        "parser_imports": "from email import message_from_string, policy\n",
        "vendor_email_import": "from testing.vendors.emails import email_of_mime\n",
        "vendor_message": """\
        email = email_of_mime(message_from_string(message["mime"], policy=policy.default), message["to"])
        return VendorMessage(reference=message["reference"], to=message["to"][0], message_id=uuid4().hex, email=email)
""",
        "bad_content": """\
    bad_content = (
        ({"subject": " ", "text": "Hello"}, "empty_subject"),
        ({"subject": "Hello", "text": " "}, "empty_message"),
    )
""",
        "request_checks": """\
    assert request.json["to"] == [message.address["email"]]
    assert request.json["reference"] == str(message.attempt_id)
    email = bench.email()
    assert (email.sender, email.subject, email.text) == (("", SENDER), *bench.content.values())
""",
    },
    "sms": {
        "label": "SMS",
        "sender": "+15005550006",
        "fields": '"from", "to", "text", "reference"',
        "content": '"text": "Hello, Ada"',
        "address_import": "",
        "email_imports": "",
        "refusal_method": "",
        "request_body": """\
        body = {
            "from": self._sender,
            "to": message.address["phone"],
            "text": message.content["text"],
            "reference": str(message.attempt_id),
        }
""",
        "parser_imports": "",
        "vendor_email_import": "",
        "vendor_message": """\
        return VendorMessage(reference=message["reference"], to=message["to"], message_id=uuid4().hex)
""",
        "bad_content": "",
        "request_checks": """\
    assert request.json == {
        "from": SENDER,
        "to": message.address["phone"],
        **bench.content,
        "reference": str(message.attempt_id),
    }
""",
    },
}
FILES = {
    "adapter.py.txt": "providers/{name}.py",
    "vendor.py.txt": "testing/vendors/{name}.py",
    "harness.py.txt": "tests/providers/harness_{name}.py",
    "test.py.txt": "tests/providers/test_{name}.py",
    "delivered.json.txt": "tests/providers/payloads/{name}_delivered.json",
}


class SkeletonRefused(Exception):
    """The text says what to change."""


def write_skeleton(root: Path, name: str, channel: str) -> list[str]:
    """Return the paths of the files that were written or changed, relative to `root`.

    Raises SkeletonRefused, before anything is written, for a bad name, a channel without templates or a provider that
    exists.
    """
    values = template_values(name, channel)
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
        insert_row(root / "docs/providers.md", rendered("docs_row.txt", values)),
        insert_settings(root / ".env.example", rendered("env.txt", values)),
    ]
    return [str(path.relative_to(root)) for path in (*targets.values(), *changed)]


def template_values(name: str, channel: str) -> dict[str, str]:
    if not NAME.fullmatch(name):
        raise SkeletonRefused(f"NAME={name}: write lower-case letters, digits and single underscores")
    if channel not in CHANNELS:
        raise SkeletonRefused(f"CHANNEL={channel}: there are skeletons for {', '.join(CHANNELS)}")
    words = name.split("_")
    return {
        **CHANNELS[channel],
        "name": name,
        "upper": name.upper(),
        "cls": "".join(map(str.capitalize, words)),
        "title": " ".join(map(str.capitalize, words)),
        "channel": channel.upper(),
        "value": channel,
    }


def rendered(template: str, values: dict[str, str]) -> str:
    return Template((TEMPLATES / template).read_text()).substitute(values)


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


def insert_row(path: Path, row: str) -> Path:
    """Add a row to the table of providers, which is the first of the page, in its alphabetical place."""
    lines = path.read_text().splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if line.startswith("| `"))
    at = next(number for number, line in enumerate(lines) if number >= first and not row > line >= "| `")
    path.write_text("".join([*lines[:at], row, *lines[at:]]))
    return path


def insert_settings(path: Path, settings: str) -> Path:
    path.write_text(path.read_text().rstrip("\n") + "\n" + settings)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(prog="make provider", description="Write the skeleton of a provider.")
    parser.add_argument("name", help="its name, such as acme: settings prefix, receipt URL and metric label")
    parser.add_argument("channel", help=" or ".join(CHANNELS))
    given = parser.parse_args()
    try:
        paths = write_skeleton(ROOT, given.name, given.channel)
    except SkeletonRefused as error:
        sys.exit(f"make provider: {error}")
    print("Written or changed:", *paths, sep="\n  ")
    print(f"\nIts tests pass now: make test ARGS='-k {given.name}'. Then follow CONTRIBUTING.md#adding-a-provider.")
    print("docs/adding-a-provider.md describes outcomes, receipts, the harness, and when to write a package.")


if __name__ == "__main__":
    main()
