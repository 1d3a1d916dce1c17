"""The catalogue of error codes and the explanations that it gives."""

import json
from pathlib import Path

import pytest

from delivery.twilio import error_codes
from delivery.twilio.error_codes import Category, can_answer_create, explain

CATALOGUE = json.loads(Path(error_codes.__file__).with_suffix(".json").read_text("utf-8"))
CODES = [int(code) for code in CATALOGUE]
SOURCES = json.loads(
    (Path(__file__).parent / "data" / "message_error_codes.json").read_text("utf-8")
)
"""The codes that a message can meet, by the source that was read: its address, date and codes."""


def test_the_catalogue_has_every_code_that_a_message_can_meet_with_its_source() -> None:
    by_source = {
        source: [int(code) for code, entry in CATALOGUE.items() if entry["source"] == source]
        for source in SOURCES
    }

    assert by_source == {source: listed["codes"] for source, listed in SOURCES.items()}
    assert sorted(CODES) == sorted(code for codes in by_source.values() for code in codes)


def test_every_code_has_a_title_an_action_and_a_category() -> None:
    for code in CODES:
        explanation = explain(code)
        assert explanation.code == code
        assert explanation.title[0].isupper() or explanation.title[0] in "'0123456789", code
        assert explanation.action.endswith("."), code
        assert isinstance(explanation.category, Category), code


def test_a_known_code_has_its_own_explanation() -> None:
    explanation = explain(30003)

    assert explanation.category is Category.RECIPIENT_UNREACHABLE
    assert explanation.retryable
    assert "unreachable" in explanation.title
    assert "retries" in explanation.action


def test_only_errors_after_which_the_message_may_have_been_sent_have_a_duplicate_risk() -> None:
    risky = [code for code in CODES if explain(code).duplicate_risk]

    assert risky == [20500, 20503, 20504, 30046, 30410]


def test_forty_one_codes_are_retryable() -> None:
    assert sum(explain(code).retryable for code in CODES) == 41


def test_an_unknown_code_is_not_retryable_and_links_to_its_page() -> None:
    explanation = explain(29999)

    assert explanation.category is Category.UNKNOWN
    assert not explanation.retryable
    assert not explanation.duplicate_risk
    assert "https://www.twilio.com/docs/api/errors/29999" in explanation.action


def test_a_request_presumed_unsent_has_a_duplicate_risk_and_advice_of_its_own() -> None:
    explanation = explain(None, "presumed_unsent")

    assert (explanation.duplicate_risk, explanation.retryable) == (True, False)
    assert explanation.retry_advice not in {explain(code).retry_advice for code in CODES}


def test_a_request_rejected_without_a_code_refers_to_the_senders_log_and_not_to_twilio() -> None:
    explanation = explain(None, "rejected")

    assert (explanation.category, explanation.retryable) == (Category.CONTENT, False)
    assert "SendMessageFunction" in explanation.action
    assert "Twilio" not in explanation.action


def test_a_request_that_twilio_rejected_is_explained_by_its_code() -> None:
    assert explain(21211, "rejected") == explain(21211)


def test_retry_advice_distinguishes_retryable_final_risky_and_unknown_failures() -> None:
    advice = [explain(code).retry_advice for code in (30003, 21610, 20500, 99999)]

    assert len(set(advice)) == len(advice)


@pytest.mark.parametrize(("code", "is_quoted"), [(99999, True), (None, True), (30003, False)])
def test_reported_words_are_quoted_where_the_code_explains_nothing(
    code: int | None, *, is_quoted: bool
) -> None:
    explanation = explain(code, "failed", "Not opted in")

    assert ("Not opted in" in explanation.action) is is_quoted
    assert (explanation == explain(code, "failed")) is not is_quoted


def test_a_failure_without_a_code_is_not_retryable_and_links_to_the_list_of_codes() -> None:
    explanation = explain(None)

    assert (explanation.code, explanation.category) == (None, Category.UNKNOWN)
    assert not explanation.retryable
    assert "https://www.twilio.com/docs/api/errors" in explanation.action


@pytest.mark.parametrize(
    ("code", "can"),
    [
        (21211, True),
        (216602, True),
        (30003, False),
        (99999, False),
        (None, False),
    ],
)
def test_some_codes_can_answer_a_create(code: int | None, *, can: bool) -> None:
    assert can_answer_create(code) is can
