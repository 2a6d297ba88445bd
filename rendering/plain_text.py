"""The text part of an e-mail, derived from its HTML: links keep their targets, hidden parts disappear."""

import re
from html.parser import HTMLParser

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
UNSEEN = {"head", "style", "script", "template", "title"}
PARAGRAPHS = {
    "address",
    "article",
    "blockquote",
    "dl",
    "footer",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "ol",
    "p",
    "pre",
    "section",
    "table",
    "ul",
}
LINES = PARAGRAPHS | {"dd", "div", "dt", "li", "tbody", "thead", "tr"}
TARGETS = ("http://", "https://", "mailto:", "tel:")

# Breaks asked for by a block; white space of the source never gets here as these.
LINE = "\v"
PARAGRAPH = "\f"

_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)


def plain_text(html: str) -> str:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.text()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._pieces: list[str] = []
        self._open: list[tuple[str, bool]] = []
        self._links: list[tuple[str, int]] = []
        self._numbers: list[int | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        hidden = self._unseen or tag in UNSEEN or "hidden" in given or bool(_HIDDEN.search(given.get("style", "")))
        if tag not in VOID:
            self._open.append((tag, hidden))
        if not hidden:
            self._begin(tag, given)

    def handle_endtag(self, tag: str) -> None:
        names = [name for name, _ in self._open]
        if tag not in names:
            return
        while self._open:
            name, hidden = self._open.pop()
            if not hidden:
                self._end(name)
            if name == tag:
                return

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self._pieces.append(re.sub(r"\s+", " ", data))

    @property
    def _unseen(self) -> bool:
        return bool(self._open) and self._open[-1][1]

    def _begin(self, tag: str, given: dict[str, str]) -> None:
        if tag in LINES:
            self._pieces.append(PARAGRAPH if tag in PARAGRAPHS else LINE)
        if tag in ("ol", "ul"):
            self._numbers.append(1 if tag == "ol" else None)
        match tag:
            case "br":
                self._pieces.append("\n")
            case "hr":
                self._pieces.append(f"{PARAGRAPH}---{PARAGRAPH}")
            case "img":
                self._pieces.append(given.get("alt", ""))
            case "td" | "th":
                self._pieces.append(" ")
            case "a":
                self._links.append((given.get("href", "").strip(), len(self._pieces)))
            case "li":
                self._pieces.append(self._bullet())

    def _end(self, tag: str) -> None:
        if tag in LINES:
            self._pieces.append(PARAGRAPH if tag in PARAGRAPHS else LINE)
        if tag in ("ol", "ul") and self._numbers:
            self._numbers.pop()
        if tag == "a" and self._links:
            self._finish_link(*self._links.pop())

    def _bullet(self) -> str:
        number = self._numbers[-1] if self._numbers else None
        if number is None:
            return "- "
        self._numbers[-1] = number + 1
        return f"{number}. "

    def _finish_link(self, target: str, start: int) -> None:
        label = "".join(self._pieces[start:]).strip()
        if target.lower().startswith(TARGETS) and label not in (target, target.partition(":")[2]):
            self._pieces.append(f" ({target})" if label else target)

    def text(self) -> str:
        return re.sub(f"[ \n{LINE}{PARAGRAPH}]+", _space, "".join(self._pieces)).strip()


def _space(run: re.Match[str]) -> str:
    """Neighbouring blocks ask for their breaks twice, at the end of one and the begin of the next."""
    asked = run.group()
    if PARAGRAPH in asked or asked.count("\n") > 1:
        return "\n\n"
    return "\n" if LINE in asked or "\n" in asked else " "
