"""Test which texts are keywords."""

import pytest

from domain.inbound_messages import WORDS, Keyword, find_keyword


@pytest.mark.parametrize(
    ("keyword", "word"), [(keyword, word) for keyword, words in WORDS.items() for word in sorted(words)]
)
@pytest.mark.parametrize("form", ["{}", "  {}.\n", "'{}'!", "__{}__"])
def test_a_word_is_a_keyword_in_any_case_and_punctuation(keyword: Keyword, word: str, form: str) -> None:
    assert find_keyword(form.format(word)) is find_keyword(form.format(word.lower())) is keyword


@pytest.mark.parametrize("text", ["opt-out", "Opt Out", "OPT_OUT", "stop all"])
def test_spaces_and_hyphens_within_a_word_do_not_matter(text: str) -> None:
    assert find_keyword(text) is Keyword.STOP


@pytest.mark.parametrize("text", ["", "...", "please stop", "stop it", "the end", "helpful", "I need help", "💩"])
def test_a_sentence_is_no_keyword(text: str) -> None:
    assert find_keyword(text) is None


def test_a_vendor_has_further_words_for_start() -> None:
    assert find_keyword("Yes!", {"YES"}) is Keyword.START
    assert find_keyword("Yes!") is find_keyword("Yes please", {"YES"}) is None


def test_no_word_belongs_to_two_keywords() -> None:
    assert sum(len(words) for words in WORDS.values()) == len(frozenset().union(*WORDS.values()))
