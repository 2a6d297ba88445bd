"""Check names, content types and first bytes of attachments, as mail systems do. See `docs/attachments.md`."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

MAX_SIZE = 10_000_000
MAX_NAME_BYTES = 255
# A PDF may have other bytes before its header.
HEAD_SIZE = 1_024

# https://support.google.com/mail/answer/6590
PROGRAM_WORDS = (
    "ade adp apk appx appxbundle bat cab chm cmd com cpl diagcab diagcfg diagpkg dll dmg ex ex_ exe hta img ins iso isp"
    " jar jnlp js jse lib lnk mde mjs msc msi msix msixbundle msp mst nsh pif ps1 scr sct shb sys vb vbe vbs vhd vxd"
    " wsc wsf wsh xll"
)
PROGRAM_EXTENSIONS = frozenset(PROGRAM_WORDS.split())
# They run scripts in the browser of the recipient, so filters treat them as phishing.
PAGE_EXTENSIONS = frozenset({"htm", "html", "mht", "mhtml", "shtml", "svg", "svgz", "xht", "xhtml"})
REFUSED_TYPES = {
    "application/x-www-form-urlencoded": "is the default of curl; set it to the type of the file",
    "multipart/form-data": "is that of a form; send the file itself as the body",
    **dict.fromkeys(
        ("text/html", "application/xhtml+xml", "image/svg+xml"), "is that of a page with scripts, which filters refuse"
    ),
    **dict.fromkeys(
        ("text/javascript", "application/javascript", "application/x-javascript", "application/x-msdownload"),
        "is that of a program",
    ),
}
# RFC 2045, section 6.4: their parts cannot be encoded.
COMPOSITE_TYPES = ("multipart/", "message/")

# RFC 6838, section 4.2. The parameters are those of text and of invitations (RFC 6047).
RESTRICTED_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
CONTENT_TYPE = re.compile(
    rf"({RESTRICTED_NAME}/{RESTRICTED_NAME})"
    r"((?:[ \t]*;[ \t]*(?:charset|method|component)=(?:[A-Za-z0-9_.-]{1,40}|\"[A-Za-z0-9_.-]{1,40}\"))*)",
    re.IGNORECASE | re.ASCII,
)
EXTENSION = re.compile(r"[^.\s].*\.([A-Za-z0-9_-]{1,20})", re.DOTALL | re.ASCII)
SEPARATORS = re.compile(r"[/\\]")
# Controls, invisible formatting with the overrides of the direction of text, line separators and invalid text.
REFUSED_CATEGORIES = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
JOINERS = "\u200c\u200d"  # emoji and Persian need them
INVALID = "\ufffd"


@dataclass(frozen=True, kw_only=True, slots=True)
class FileFormat:
    """A format that is recognized by its first bytes."""

    name: str
    extensions: tuple[str, ...]
    types: tuple[str, ...]
    prefixes: tuple[bytes, ...]

    def is_content(self, head: bytes) -> bool:
        return head.startswith(self.prefixes)


PDF = FileFormat(name="PDF", extensions=("pdf",), types=("application/pdf",), prefixes=(b"%PDF-",))
FORMATS = (
    PDF,
    FileFormat(
        name="PNG",
        extensions=("png",),
        types=("image/png", "image/x-png", "image/apng"),
        prefixes=(b"\x89PNG\r\n\x1a\n",),
    ),
    FileFormat(
        name="JPEG",
        extensions=("jpg", "jpeg"),
        types=("image/jpeg", "image/jpg", "image/pjpeg"),
        prefixes=(b"\xff\xd8\xff",),
    ),
    FileFormat(name="GIF", extensions=("gif",), types=("image/gif",), prefixes=(b"GIF87a", b"GIF89a")),
    FileFormat(
        name="ZIP",
        extensions=("zip",),
        types=("application/zip", "application/x-zip-compressed"),
        prefixes=(b"PK\x03\x04", b"PK\x05\x06"),
    ),
)


def find_name_problem(name: str) -> str | None:
    """Return why the name is refused, or None."""
    if not 1 <= len(name.encode(errors="replace")) <= MAX_NAME_BYTES:
        return f"must have 1 to {MAX_NAME_BYTES} bytes in UTF-8"
    if SEPARATORS.search(name):
        return "must not have / or \\"
    if INVALID in name or any(unicodedata.category(each) in REFUSED_CATEGORIES for each in name if each not in JOINERS):
        return "must be UTF-8 without control characters, invisible ones and overrides of the direction of text"
    extension = extension_of(name)
    if not extension or name != name.strip():
        return "must have an extension, such as invoice.pdf, and no space around it"
    if extension in PROGRAM_EXTENSIONS:
        return "must not be that of a program; mail providers refuse it"
    if extension in PAGE_EXTENSIONS:
        return "must not be that of a page with scripts; filters refuse it"
    return None


def extension_of(name: str) -> str:
    """Return the extension in lower case, "" if there is none."""
    match = EXTENSION.fullmatch(name)
    return match[1].lower() if match else ""


def parse_content_type(value: str) -> str:
    """Return the content type in its usual form. Raise ValueError with the reason why it is refused."""
    match = CONTENT_TYPE.fullmatch(value.strip(" \t"))
    media_type = value.partition(";")[0].strip(" \t").lower()
    if media_type in REFUSED_TYPES:
        raise ValueError(REFUSED_TYPES[media_type])
    if media_type.startswith(COMPOSITE_TYPES):
        raise ValueError("must not be that of a message or of several parts, which cannot be attached")
    if match is None:
        raise ValueError("must be that of the file, such as application/pdf; allowed parameters: charset, method")
    parameters = [each.strip(" \t").replace('"', "").partition("=") for each in match[2].split(";")[1:]]
    return "; ".join([media_type, *(f"{name.lower()}={value}" for name, _, value in parameters)])


def find_content_problem(name: str, content_type: str, head: bytes) -> str | None:
    """Return why content that begins with `head` is refused under this name and type, or None."""
    if (head.startswith(b"MZ") and b"\0" in head[:64]) or head.startswith(b"\x7fELF"):
        return "the content must not be a program"
    media_type = content_type.partition(";")[0]
    for claimed, source in _claimed_formats(extension_of(name), media_type):
        if not (claimed.is_content(head) or (claimed is PDF and PDF.prefixes[0] in head[:HEAD_SIZE])):
            return f"the content is not {claimed.name}, as the {source} says"
    found = next((each for each in FORMATS if each.is_content(head)), None)
    if found and media_type not in found.types and not media_type.startswith("application/"):
        return f"the content is {found.name}; the Content-Type must be {found.types[0]}"
    return None


def _claimed_formats(extension: str, media_type: str) -> Iterator[tuple[FileFormat, str]]:
    for each in FORMATS:
        if media_type in each.types:
            yield each, "Content-Type"
        if extension in each.extensions:
            yield each, "name"
