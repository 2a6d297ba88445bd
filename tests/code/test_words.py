"""Ban the words that the glossary replaced, in code, tests and docs. One concept has one name, in standard terms."""

import re
import subprocess
from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.code.tree import ROOT

# Banned phrases and their replacement. Case does not matter; spaces, `_`, `-`, line breaks and capitals separate words.
WORDS = {
    "told|untold": "notified, signaled, reported, returned, or an attempt outcome",
    "somebody|whoever|nobody|anybody|everybody": "the recipient, the caller or the operator, or a passive",
    "someone|anyone|everyone": "the recipient, the caller or the operator",
    "stranger|strangers|astray": "bad credentials, unreachable",
    "stray|strays": "orphaned, unmatched",
    "worthless": "expired",
    "gravest": "most severe",
    "dice": "rand",
    "twin|twins": "concurrent duplicates",
    "parked": "dead letter",
    "movers": "timezone changes",
    "postman": "receipt poster",
    "unseal|unsealed|sealed": "name the type: nothing is encrypted there",
    "desk|desks": "tenant, console",
    "crowd|crowds|crowded": "load generator, backlog",
    "residue": "resource leaks",
    "refusers": "credential failures",
    "patience|patient|impatient": "timeout, give_up_after",
    "beside": "next to, together with, in addition to",
    "meanwhile|by now": "omit it, or name the event",
    "own work": "run_local_then_remote",
    "look again": "poll interval",
    "come right|comes right|came right": "reach the correct state",
    "twice is once": "idempotent",
    "by hand": "manually",
    "mistake of ours|mistakes of ours|mistake of our own": "bug",
    "go round|goes round|went round|gone round": "fails over, reroutes",
    "came back": "bounced, returned",
    "goes on": "continues, resumes",
    "well again": "recovered",
    "take turns|takes turns|in turn": "round-robin",
    "schedule turn|schedule turns|throttle turn|throttle turns|turns of": "occurrences, queue entries",
    "person cap|cap per person": "frequency_cap",
    "first at once": "send_first_immediately",
    "quiet until": "throttled_until",
    "left out": "skipped_recipients, omitted",
    "lost answer|lost answers": "unknown outcome",
    "answer too many|answers too many": "is rate-limiting (429)",
    "all of us": "all workers",
    "hear of|hears of|heard of": "is notified of",
    "vendor books|vendor s books": "vendor log",
    "house word|house words": "terms of Tocsin",
    "front door": "AuthenticatedRoute",
}
# Replaced names of classes that are plain words elsewhere.
CLASSES = (
    "Accepted|Act|Ask|Asked|Asker|Call|Choices|Delivering|EndpointEnd|Leg|Pace|Parts|Place|Play|Recording|Requests|Room"
    "|SandboxBooks|Scene|Shop|Story|Taken|Terms|Ticking|ToTell|Tools|Trickle"
)
# Places where a word is the name of something else.
EXEMPT = {
    "embedded/account.py": {"nobody"},  # the Unix user
    "tests/embedded/test_postgres.py": {"nobody"},
    "docker-compose.yml": {"nobody"},
    "docs/decisions/0002-embedded-stack.md": {"nobody"},
}
THIS = "tests/code/test_words.py"
SUFFIXES = (".py", ".md", ".sql", ".toml", ".yml", ".yaml", ".example", ".sh", "Makefile")
PHRASES = [(tuple(phrase.split()), new) for phrases, new in WORDS.items() for phrase in phrases.split("|")]
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
GAP = re.compile(r"[\s_'\"#-]*")
DECLARATION = re.compile(rf"\bclass (?:{CLASSES})\b|\bkind: NotificationType\b")


def list_texts() -> Iterator[tuple[str, str]]:
    """Yield path and content of each text, also of those that are not committed yet."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for path in listed.split():
        if path.endswith(SUFFIXES) and path != THIS and (ROOT / path).exists():
            yield path, (ROOT / path).read_text()


def find_banned_words(path: str, text: str) -> Iterator[str]:
    words = list(WORD.finditer(text))
    known = [word.group().lower() for word in words]
    present = set(known)
    found = [(match.start(), match.group(), "another name") for match in DECLARATION.finditer(text)]
    for phrase, new in PHRASES:
        if present.issuperset(phrase) and " ".join(phrase) not in EXEMPT.get(path, ()):
            found += [(words[at].start(), " ".join(phrase), new) for at in find_phrase(phrase, known, words, text)]
    for start, old, new in found:
        line = text.count("\n", 0, start) + 1
        yield f"{path}:{line}: {old!r}: write {new}"


def find_phrase(phrase: tuple[str, ...], known: list[str], words: list[re.Match[str]], text: str) -> Iterator[int]:
    for at, word in enumerate(known):
        if word == phrase[0] and tuple(known[at : at + len(phrase)]) == phrase:
            pairs = pairwise(words[at : at + len(phrase)])
            if all(GAP.fullmatch(text, one.end(), other.start()) for one, other in pairs):
                yield at


def test_no_text_has_a_banned_word() -> None:
    found = [finding for path, text in list_texts() for finding in find_banned_words(path, text)]
    assert found == [], f"{len(found)} words that the glossary replaced"


@pytest.mark.parametrize(
    "sample",
    [
        "# told twice",
        "def _told() -> None: ...",
        "TOLD = 1",
        "By hand.",
        "own_work = 1",
        "class Shop:",
        "class Parts(Base):",
        "class ToldBy:",
        "it goes\n# on",
        "kind: NotificationType",
    ],
)
def test_a_banned_word_is_found(sample: str) -> None:
    assert list(find_banned_words("sample.py", sample))


@pytest.mark.parametrize("sample", ["retold", "a shop", "the call", "class ShopClient:", "spare parts"])
def test_part_of_a_word_and_plain_words_are_allowed(sample: str) -> None:
    assert list(find_banned_words("sample.py", sample)) == []
