"""Judge whether a secret is hard to guess: its length, variety and patterns. Pure; used by the settings at start."""

from itertools import pairwise

MIN_BYTES = 32
# A random text of 32 hexadecimal digits has 14 different characters and 30 different groups of three, on average.
MIN_CHARACTERS = 8
MIN_TRIPLES = 24
# Neighbors in one of these rows, in either direction, count as a pattern; equal characters too.
KEYBOARD_ROWS = ("abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm")
NEIGHBOR_PAIRS = {pair for row in KEYBOARD_ROWS for both in (row, row[::-1]) for pair in pairwise(both)}
MAX_NEIGHBOR_SHARE = 0.6
# From examples and templates. Six random letters match one of these once in many millions of secrets.
PLACEHOLDER_WORDS = (
    "change",
    "replace",
    "secret",
    "passwo",
    "passw0",
    "example",
    "default",
    "placeholder",
    "insert",
    "sample",
)


def find_weakness(secret: str) -> str | None:
    """Return what makes the secret weak, without quoting it; None if nothing is found."""
    text = secret.lower()
    if len(secret.encode()) < MIN_BYTES:
        return f"has fewer than {MIN_BYTES} bytes"
    if word := next((word for word in PLACEHOLDER_WORDS if word in text), None):
        return f"contains the word {word!r} of a placeholder"
    if len(set(secret)) < MIN_CHARACTERS:
        return f"has fewer than {MIN_CHARACTERS} different characters"
    if len({secret[start : start + 3] for start in range(len(secret) - 2)}) < MIN_TRIPLES:
        return "repeats a pattern"
    pairs = list(pairwise(text))
    if sum(left == right or (left, right) in NEIGHBOR_PAIRS for left, right in pairs) > MAX_NEIGHBOR_SHARE * len(pairs):
        return "follows the alphabet, the digits or the keyboard"
    return None
