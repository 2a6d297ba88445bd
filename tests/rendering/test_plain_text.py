import pytest

from rendering.plain_text import html_to_text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("plain", "plain"),
        ("<p>One</p>\n<p>Two</p>", "One\n\nTwo"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("<p>a   b\n\t c&nbsp;d</p>", "a b c d"),
        ("Tom &amp; J&eacute;r&#xF4;me &lt;3", "Tom & Jérôme <3"),
        ('<a href="https://x.test/a?b=1&amp;c=2">Open</a> it', "Open (https://x.test/a?b=1&c=2) it"),
        ('<a href="https://x.test">https://x.test</a>', "https://x.test"),
        ('<a href="mailto:a@x.test">a@x.test</a>', "a@x.test"),
        ('<a href="#top">Top</a> <a href="javascript:x()">Run</a> <a>None</a>', "Top Run None"),
        ('<a href="https://x.test"><img src="i.png" alt="Logo"></a>', "Logo (https://x.test)"),
        ('<a href="https://x.test"><img src="i.png"></a>', "https://x.test"),
        ("<ul><li>tea</li><li>jam</li></ul>", "- tea\n- jam"),
        ("<ol><li>tea<li>jam</ol>", "1. tea\n2. jam"),
        ("<table><tr><td>a</td><td>1</td></tr><tr><td>b</td><td>2</td></tr></table>", "a 1\nb 2"),
        ("a<br><br>b<br></div>c<div>d</div><div>e</div>", "a\n\nb\nc\nd\ne"),
        ("<h1>T</h1>x<hr>y", "T\n\nx\n\n---\n\ny"),
        ("<head><title>t</title><style>p{}</style></head><script>alert(1)</script>x", "x"),
        ("<div style='DISPLAY : none'>pre<b>header</b><br></div>x", "x"),
        ("<p hidden>no</p>yes", "yes"),
        ("<div style='display:none'><p>no</div>yes", "yes"),
        ("</p></b>x<b>y</i>z", "xyz"),
        ("<!-- note -->x<!DOCTYPE html>", "x"),
        ("", ""),
    ],
)
def test_html_becomes_text(html: str, text: str) -> None:
    assert html_to_text(html) == text
