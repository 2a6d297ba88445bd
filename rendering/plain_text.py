"""Derive the text part of an email from its HTML: links keep their targets, hidden parts disappear."""

import re
from html.parser import HTMLParser

VOID_TAGS = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
HIDDEN_TAGS = {"head", "style", "script", "template", "title"}
PARAGRAPH_TAGS = {
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
LINE_TAGS = PARAGRAPH_TAGS | {"dd", "div", "dt", "li", "tbody", "thead", "tr"}
LINK_PREFIXES = ("http://", "https://", "mailto:", "tel:")

# Line breaks that a block requests; white space of the source never becomes these.
LINE_BREAK = "\v"
PARAGRAPH_BREAK = "\f"

_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)


def html_to_text(html: str) -> str:
    extractor = _TextExtractor()
    extractor.feed(html)
    extractor.close()
    return extractor.text()


class _TextExtractor(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._pieces: list[str] = []
        self._open_tags: list[tuple[str, bool]] = []
        self._links: list[tuple[str, int]] = []
        self._numbers: list[int | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        hidden = (
            self._is_hidden
            or tag in HIDDEN_TAGS
            or "hidden" in attributes
            or bool(_HIDDEN_STYLE.search(attributes.get("style", "")))
        )
        if tag not in VOID_TAGS:
            self._open_tags.append((tag, hidden))
        if not hidden:
            self._open_tag(tag, attributes)

    def handle_endtag(self, tag: str) -> None:
        names = [name for name, _ in self._open_tags]
        if tag not in names:
            return
        while self._open_tags:
            name, hidden = self._open_tags.pop()
            if not hidden:
                self._close_tag(name)
            if name == tag:
                return

    def handle_data(self, data: str) -> None:
        if not self._is_hidden:
            self._pieces.append(re.sub(r"\s+", " ", data))

    @property
    def _is_hidden(self) -> bool:
        return bool(self._open_tags) and self._open_tags[-1][1]

    def _open_tag(self, tag: str, attributes: dict[str, str]) -> None:
        if tag in LINE_TAGS:
            self._pieces.append(PARAGRAPH_BREAK if tag in PARAGRAPH_TAGS else LINE_BREAK)
        if tag in ("ol", "ul"):
            self._numbers.append(1 if tag == "ol" else None)
        match tag:
            case "br":
                self._pieces.append("\n")
            case "hr":
                self._pieces.append(f"{PARAGRAPH_BREAK}---{PARAGRAPH_BREAK}")
            case "img":
                self._pieces.append(attributes.get("alt", ""))
            case "td" | "th":
                self._pieces.append(" ")
            case "a":
                self._links.append((attributes.get("href", "").strip(), len(self._pieces)))
            case "li":
                self._pieces.append(self._next_bullet())

    def _close_tag(self, tag: str) -> None:
        if tag in LINE_TAGS:
            self._pieces.append(PARAGRAPH_BREAK if tag in PARAGRAPH_TAGS else LINE_BREAK)
        if tag in ("ol", "ul") and self._numbers:
            self._numbers.pop()
        if tag == "a" and self._links:
            self._finish_link(*self._links.pop())

    def _next_bullet(self) -> str:
        number = self._numbers[-1] if self._numbers else None
        if number is None:
            return "- "
        self._numbers[-1] = number + 1
        return f"{number}. "

    def _finish_link(self, target: str, start: int) -> None:
        label = "".join(self._pieces[start:]).strip()
        if target.lower().startswith(LINK_PREFIXES) and label not in (target, target.partition(":")[2]):
            self._pieces.append(f" ({target})" if label else target)

    def text(self) -> str:
        return re.sub(f"[ \n{LINE_BREAK}{PARAGRAPH_BREAK}]+", _collapse_breaks, "".join(self._pieces)).strip()


def _collapse_breaks(run: re.Match[str]) -> str:
    """Keep one break of a run: adjacent blocks request it twice, at the end of one and the start of the next."""
    breaks = run.group()
    if PARAGRAPH_BREAK in breaks or breaks.count("\n") > 1:
        return "\n\n"
    return "\n" if LINE_BREAK in breaks or "\n" in breaks else " "
