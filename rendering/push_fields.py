"""Render the rich fields of a push template. Runs in the child only; called by `templates`.

Each text of the stored fields is a template, named by its path: `push/image`, `push/actions/0/title`. The name of an
action is no template.
"""

from collections.abc import Iterator, Mapping

from domain.json_types import Json, JsonValue
from domain.push_content import MAX_BADGE, is_https_url, is_safe_link
from rendering.failures import TemplateRuleError
from rendering.urls import EXPRESSION_MARK

PREFIX = "push/"
# More does not fit into any vendor's message.
OUTPUT_LIMIT = 4096
TOO_LONG = f"output larger than {OUTPUT_LIMIT} bytes"
NO_BADGE = f"a badge is a whole number from 0 to {MAX_BADGE:,}"
NO_IMAGE_URL = "is not an https URL"
NO_LINK = "is not an https URL or the link of an app, such as shop://orders"


def list_push_texts(push: Json | None) -> Iterator[tuple[str, str]]:
    """Yield the name and the source of each template."""
    yield from _list_texts(push or {}, PREFIX)


def _list_texts(fields: Json, prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in fields.items():
        if name == "actions":
            for index, action in enumerate(value):
                texts = {key: text for key, text in action.items() if key != "action"}
                yield from _list_texts(texts, f"{prefix}actions/{index}/")
        elif name == "data" and isinstance(value, dict):
            yield from _list_texts(value, f"{prefix}data/")
        else:
            yield prefix + name, str(value)


def find_unsafe_url(part: str, skeleton: str) -> str | None:
    """Return what is wrong with the author's URL. `skeleton` has `EXPRESSION_MARK` in place of expressions; one that
    begins with an expression is checked when it is rendered."""
    if part.startswith(f"{PREFIX}data/") or not part.endswith(("/image", "/link")):
        return None
    url = skeleton.strip().replace(EXPRESSION_MARK, "x")
    if not url or skeleton.strip().startswith(EXPRESSION_MARK):
        return None
    if part.endswith("/image"):
        return None if is_https_url(url) else NO_IMAGE_URL
    return None if is_safe_link(url) else NO_LINK


def check_push_output(part: str, output: str) -> None:
    """Raise TemplateRuleError for an output that no message can have."""
    if not part.startswith(PREFIX):
        return
    if len(output.encode()) > OUTPUT_LIMIT:
        raise TemplateRuleError(TOO_LONG)
    number = output.strip()
    if part == f"{PREFIX}badge" and number and not _is_badge(number):
        raise TemplateRuleError(NO_BADGE)


def build_push_fields(push: Json | None, outputs: Mapping[str, str]) -> dict[str, JsonValue]:
    """Return the fields of the content. Empty ones and unsafe URLs are omitted: a payload may come from end users."""
    texts = {name.removeprefix(PREFIX): text.strip() for name, text in outputs.items() if name.startswith(PREFIX)}
    fields: dict[str, JsonValue] = {}
    if is_https_url(texts.get("image", "")):
        fields["image"] = texts["image"]
    if is_safe_link(texts.get("link", "")):
        fields["link"] = texts["link"]
    if actions := [*_build_actions((push or {}).get("actions", ()), texts)]:
        fields["actions"] = actions
    if badge := texts.get("badge"):
        fields["badge"] = int(badge)
    if sound := texts.get("sound"):
        fields["sound"] = sound
    data: dict[str, JsonValue] = {name: outputs[f"{PREFIX}data/{name}"] for name in (push or {}).get("data", ())}
    if data:
        fields["data"] = data
    return fields


def _build_actions(actions: list[Json], texts: Mapping[str, str]) -> Iterator[JsonValue]:
    for index, action in enumerate(actions):
        title, link = texts[f"actions/{index}/title"], texts.get(f"actions/{index}/link", "")
        if title:
            built: dict[str, JsonValue] = {"action": action["action"], "title": " ".join(title.split())}
            yield {**built, "link": link} if is_safe_link(link) else built


def _is_badge(number: str) -> bool:
    return number.isascii() and number.isdigit() and len(number) <= len(str(MAX_BADGE)) and int(number) <= MAX_BADGE
