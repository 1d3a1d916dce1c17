import json
from pathlib import Path

import pytest

from delivery.twilio import error_codes
from delivery.twilio.error_codes import Category, explain

CODES = [
    int(code)
    for code in json.loads(Path(error_codes.__file__).with_suffix(".json").read_text("utf-8"))
]


def test_the_catalogue_is_complete() -> None:
    assert len(CODES) == 192
    assert len(set(CODES)) == 192


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_explained_to_a_person(code: int) -> None:
    explanation = explain(code)

    assert explanation.code == code
    assert explanation.title[0].isupper() or explanation.title[0] in "'0123456789"
    assert explanation.action.endswith(".")
    assert isinstance(explanation.category, Category)


def test_a_known_code_says_what_happened_and_what_to_do() -> None:
    explanation = explain(30003)

    assert explanation.category is Category.RECIPIENT_UNREACHABLE
    assert explanation.retryable
    assert "unreachable" in explanation.title
    assert "retries" in explanation.action


def test_an_opt_out_must_not_be_sent_again() -> None:
    explanation = explain(21610)

    assert (explanation.category, explanation.retryable) == (Category.OPT_OUT, False)


def test_only_errors_after_which_the_message_may_have_gone_out_carry_that_risk() -> None:
    risky = [code for code in CODES if explain(code).duplicate_risk]

    assert risky == [20500, 20503, 30410]


def test_thirty_four_codes_may_be_retried() -> None:
    assert sum(explain(code).retryable for code in CODES) == 34


@pytest.mark.parametrize("code", [1, 29999, 10**9])
def test_an_unknown_code_is_never_retried_and_says_where_to_look(code: int) -> None:
    explanation = explain(code)

    assert explanation.category is Category.UNKNOWN
    assert not explanation.retryable
    assert not explanation.duplicate_risk
    assert f"https://www.twilio.com/docs/api/errors/{code}" in explanation.action


def test_a_request_that_was_not_found_may_have_been_sent_and_is_never_sent_again() -> None:
    explanation = explain(None, "presumed_unsent")

    assert explanation.title == "No trace of it at Twilio"
    assert explanation.duplicate_risk
    assert explanation.again.startswith("Under its old key it is never sent again")


def test_a_request_that_was_refused_here_is_not_looked_for_at_twilio() -> None:
    explanation = explain(None, "rejected")

    assert explanation.title == "The request was not one that can be sent"
    assert "SendMessageFunction" in explanation.action
    assert "Console" not in explanation.action


def test_a_request_that_twilio_refused_is_explained_by_its_code() -> None:
    assert explain(21211, "rejected") == explain(21211)


@pytest.mark.parametrize(
    ("code", "again"),
    [
        (30003, "Sending it again later can help."),
        (21610, "Sending it again does not help."),
        (20500, "It may have gone out all the same: look before you send it again."),
        (99999, "Whether sending it again would help is not known."),
    ],
)
def test_every_failure_says_whether_to_send_it_again(code: int, again: str) -> None:
    assert explain(code).again == again


def test_a_failure_without_a_code_is_never_retried_and_says_where_to_look() -> None:
    explanation = explain(None)

    assert (explanation.code, explanation.category) == (None, Category.UNKNOWN)
    assert not explanation.retryable
    assert "https://www.twilio.com/docs/api/errors" in explanation.action
