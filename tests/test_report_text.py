"""How reports write values: nothing hidden, nothing rounded into a lie."""

from __future__ import annotations

from typing import Any

import pytest

from harness.report import text


def test_what_cannot_be_seen_is_written_as_an_escape() -> None:
    assert text.visible("a\x00b\u202ec\x1b[31m\ud800") == r"a\u0000b\u202ec\u001b[31m\ud800"
    assert text.visible("tabs\tand\nlines stay, é and 漢 too") == "tabs\tand\nlines stay, é and 漢 too"


def test_values_are_json_and_long_ones_say_how_long_they_are() -> None:
    assert text.value_text({"a": [1, None, "ü"]}) == '{"a": [1, null, "ü"]}'
    assert text.value_text("x" * 400, limit=10) == '"xxxxxxxxx… (402 characters)'


def test_a_value_that_nests_too_deeply_is_named_instead_of_shown() -> None:
    nested: Any = None
    for _ in range(200_000):
        nested = [nested]
    assert text.value_text(nested) == "(nested too deeply to be shown)"
    while nested:  # taken apart by hand: letting go of it at once would recurse as deeply
        nested = nested[0]


@pytest.mark.parametrize("value", [None, True, "7", float("nan"), float("inf"), 10**400, [1]])
def test_what_is_no_finite_number_is_none(value: Any) -> None:
    assert text.number(value) is None
    assert text.whole(value) is None
    assert text.seconds(value) == text.count(value) == text.moment(value) == text.percent(value) == "–"


def test_lengths_of_time_keep_three_digits() -> None:
    assert text.seconds(0.00412) == "4.12 ms"
    assert text.seconds(1.816) == "1.82 s"
    assert text.seconds(200) == "3 min 20 s"
    assert text.moment(7_123_456_789) == "7.123 s"
    assert text.took(1_000_000, None) == "–"


def test_a_fraction_is_never_rounded_to_all_or_nothing() -> None:
    assert text.percent(1) == "100 %"
    assert text.percent(0.99999) == "> 99.9 %"
    assert text.percent(0.00001) == "< 0.1 %"
    assert text.percent(0) == "0 %"
    assert text.percent(0.8971) == "89.7 %"


def test_names_carry_their_options() -> None:
    assert (
        text.named({"name": "primary-backup", "options": {"acknowledge": "none"}}) == "primary-backup(acknowledge=none)"
    )
    assert text.named({"name": "register", "options": {}}) == "register"
    assert text.named("everything") == "everything"
    assert text.named(None) == "–"
