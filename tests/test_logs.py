"""Test what libraries may write to the log."""

import hpack

from tests.captured_logs import capture_log


def test_headers_of_http2_are_not_logged() -> None:
    with capture_log() as printed:
        hpack.Encoder().encode([("authorization", "bearer secret-token"), (":path", "/3/device/device-token")])
    assert "token" not in printed.getvalue()
