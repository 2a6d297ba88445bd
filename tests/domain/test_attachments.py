"""Test which names, types and contents of attachments are accepted."""

import pytest

from domain.attachments import (
    MAX_NAME_BYTES,
    PROGRAM_EXTENSIONS,
    find_content_problem,
    find_name_problem,
    parse_content_type,
)

PDF_HEAD, PNG_HEAD, JPEG_HEAD = b"%PDF-1.7\n", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"
GIF_HEAD, ZIP_HEAD = b"GIF89a", b"PK\x03\x04"


@pytest.mark.parametrize(
    "name",
    [
        "invoice.pdf",
        "Rechnung März 2026.pdf",
        "archive.tar.gz",
        "a.7z",
        "family \U0001f468\u200d\U0001f469.pdf",
        "x" * (MAX_NAME_BYTES - 4) + ".txt",
        "invite.ics",
    ],
)
def test_a_usual_name_is_accepted(name: str) -> None:
    assert find_name_problem(name) is None


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "bytes"),
        ("x" * (MAX_NAME_BYTES - 3) + ".txt", "bytes"),
        ("é" * 126 + ".txt", "bytes"),
        ("../invoice.pdf", "/"),
        ("a\\b.pdf", "/"),
        ("a\nb.pdf", "control"),
        ("a\x7f.pdf", "control"),
        ("invoice\u202efdp.exe.pdf", "direction"),
        ("a\ufeff.pdf", "invisible"),
        ("a\u2028.pdf", "control"),
        ("a\ufffd.pdf", "UTF-8"),
        ("\ud800.pdf", "UTF-8"),
        ("invoice", "extension"),
        (".pdf", "extension"),
        ("invoice.", "extension"),
        ("invoice.exe.", "extension"),
        ("invoice.pdf ", "extension"),
        (" invoice.pdf", "extension"),
        ("invoice.p df", "extension"),
        ("invoice.pdf.exe", "program"),
        ("INVOICE.SCR", "program"),
        ("page.html", "page"),
        ("image.SVG", "page"),
    ],
)
def test_a_deceptive_name_is_refused_with_the_reason(name: str, problem: str) -> None:
    assert problem in str(find_name_problem(name))


def test_every_extension_of_a_program_is_refused() -> None:
    assert {"exe", "js", "scr", "bat", "ps1"} <= PROGRAM_EXTENSIONS
    assert all("program" in str(find_name_problem(f"a.{extension}")) for extension in PROGRAM_EXTENSIONS)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("application/pdf", "application/pdf"),
        (" Image/PNG ", "image/png"),
        ('text/csv;Charset="UTF-8"', "text/csv; charset=UTF-8"),
        ("text/calendar; method=REQUEST ;charset=utf-8", "text/calendar; method=REQUEST; charset=utf-8"),
        (
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        ),
    ],
)
def test_a_content_type_is_stored_in_its_usual_form(given: str, stored: str) -> None:
    assert parse_content_type(given) == stored


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("", "such as application/pdf"),
        ("pdf", "such as application/pdf"),
        ("application/", "such as application/pdf"),
        ("application/pdf/a", "such as application/pdf"),
        ("application/pdf\r\nBcc: a@example.com", "such as application/pdf"),
        ("text/plain; name=a.pdf", "allowed parameters"),
        ("text/plain; charset=a\r\nBcc", "allowed parameters"),
        ("application/x-www-form-urlencoded", "curl"),
        ("multipart/form-data; boundary=a", "send the file itself"),
        ("multipart/mixed", "several parts"),
        ("Message/RFC822", "several parts"),
        ("text/html; charset=utf-8", "page"),
        ("image/svg+xml", "page"),
        ("text/javascript", "program"),
    ],
)
def test_a_type_that_cannot_be_attached_is_refused_with_the_reason(given: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_content_type(given)


@pytest.mark.parametrize(
    ("name", "content_type", "head"),
    [
        ("a.pdf", "application/pdf", PDF_HEAD),
        ("a.pdf", "application/pdf", b"\r\n" + PDF_HEAD),
        ("a.pdf", "application/octet-stream", PDF_HEAD),
        ("a.png", "image/png", PNG_HEAD),
        ("a.JPG", "image/jpeg", JPEG_HEAD),
        ("a.gif", "image/gif", GIF_HEAD),
        ("a.zip", "application/zip", ZIP_HEAD),
        ("a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", ZIP_HEAD),
        ("a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", b"\xd0\xcf\x11\xe0"),
        ("a.csv", "text/csv", b"MZ,10\nNY,20\n"),
        ("a.txt", "text/plain", b"x"),
    ],
)
def test_a_content_of_its_type_is_accepted(name: str, content_type: str, head: bytes) -> None:
    assert find_content_problem(name, content_type, head) is None


@pytest.mark.parametrize(
    ("name", "content_type", "head", "problem"),
    [
        ("a.dat", "application/pdf", b"hello", "not PDF, as the Content-Type"),
        ("a.pdf", "application/octet-stream", b"hello", "not PDF, as the name"),
        ("a.pdf", "image/png", PNG_HEAD, "not PDF, as the name"),
        ("a.png", "image/png", JPEG_HEAD, "not PNG"),
        ("a.jpeg", "image/jpeg", PNG_HEAD, "not JPEG"),
        ("a.gif", "image/gif", b"GIF", "not GIF"),
        ("a.zip", "application/zip", PDF_HEAD, "not ZIP"),
        ("a.txt", "text/plain", PDF_HEAD, "is PDF; the Content-Type must be application/pdf"),
        ("a.tiff", "image/tiff", JPEG_HEAD, "must be image/jpeg"),
        ("a.dat", "application/octet-stream", b"MZ\x90\x00\x03", "program"),
        ("a.dat", "application/octet-stream", b"\x7fELF\x02", "program"),
    ],
)
def test_a_content_of_another_type_is_refused_with_the_reason(
    name: str, content_type: str, head: bytes, problem: str
) -> None:
    assert problem in str(find_content_problem(name, content_type, head))
