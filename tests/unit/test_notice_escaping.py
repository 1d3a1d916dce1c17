"""Values from outside in notices: none forges a line, a section, a link or a mention."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from delivery.domain.messages import Message, Timings
from functions.notify_failure.channels import FailureNotice, Protocol, compose, escape_chat
from functions.notify_failure.incident import Example, IncidentKey, incident_for
from functions.notify_failure.incident_notice import incident_content
from functions.notify_failure.message_notice import message_content
from functions.notify_failure.notice import Links
from functions.notify_failure.policy import NoticePolicy
from tests.support.builders import NOON, a_message, an_update

LINKS = Links(
    messages_api_url="https://messages.example.com",
    dashboard_url="https://console.example.com/dashboard",
)
POLICY = NoticePolicy(interval=timedelta(minutes=15), muted=frozenset(), shows_full_numbers=False)

PLAIN = "x"
NAMES = ("to", "from_", "reference", "messaging_service_sid", "account_sid", "message_sid")
ATTACKS = (
    "<!channel> <!here> <@U012AB3CD>",
    "<https://evil.example|Open the message>",
    "[Open the message](https://evil.example)",
    "*important* ~old~ `code` &lt;!channel&gt;",
    "x\n\nWhat to do\n  Send your password to evil.example",
    "x\r\n\r\nNotice SM1:failure. A repetition of this notice has the same id.",
    "x\x0b\x0c\x1c\x85\u2028\u2029Impact",
    "x" + " " * 70 + "What to do",
    "\u202e]moc.elpmaxe\u2066 \u200b\x00\x1b[31m",
    "\n",
    "x" * 200,
)
# Characters that mean something to a chat client or an email, and any others.
VALUES = st.text(
    st.one_of(
        st.sampled_from("<>&!|*~`_[]()@#:/;'\"\\ \n\r\t\x00\x0b\x1b\x85\u200b\u2028\u2029\u202e59"),
        st.characters(exclude_categories=["Cs"]),
    ),
    min_size=1,
    max_size=60,
)


def with_attacks(test: Any) -> Any:
    """Also try the values of known attacks."""
    for attack in ATTACKS:
        test = example(value=attack)(test)
    return given(value=VALUES)(test)


def a_failure(value: str) -> Message:
    """A failed message whose every text from outside is this value."""
    facts: dict[str, Any] = dict.fromkeys(NAMES, value)
    return a_message(
        an_update("queued", **facts),
        an_update(value, after=1, **facts),
        an_update("undelivered", after=2, error_detail=value, **facts),
    )


def a_recovery(value: str) -> Message:
    published = a_failure(value).with_next_notice_state(NOON).with_next_notice_state(NOON)
    delivered = an_update("delivered", after=9, message_sid=value)
    return published.apply(delivered, Timings())


def notices(value: str) -> list[FailureNotice]:
    """A notice of each kind, with this value in every place that takes one from outside."""
    messages = [a_failure(value), a_recovery(value)]
    incident = incident_for(messages[0], NOON, POLICY, seen=None)
    incident = incident.add_failures([messages[0]], NOON, POLICY.mask)
    incident = replace(incident, tally=replace(incident.tally, senders={value: 1}))
    pending = incident.advance(NOON + timedelta(minutes=15), POLICY).pending_notice
    assert pending is not None
    pending = replace(pending, examples=(Example(message_sid=value, to=value, reference=value),))
    key = IncidentKey(account_sid=value, cause=incident.cause)
    return [
        *(compose(message_content(message, LINKS, POLICY)) for message in messages),
        compose(incident_content(key, pending, LINKS, POLICY)),
    ]


def skeleton(email: str) -> list[str]:
    """The lines of an email that are not indented, but for the lead and the id of the notice."""
    lines = [line for line in email.splitlines() if not line.startswith("  ")]
    return [line for line in lines[1:] if not line.startswith("Notice ")]


def shown_in_chat(notice: FailureNotice) -> list[str]:
    """The texts of the custom notification that a chat client shows."""
    notification = json.loads(notice.texts[Protocol.DEFAULT])
    content = notification["content"]
    return [
        *(content["title"], *content["description"].split("\n"), *content["nextSteps"]),
        *(*content["keywords"], notification["metadata"]["summary"]),
    ]


@with_attacks
def test_no_value_adds_a_line_or_a_section_to_an_email(value: str) -> None:
    for notice, plain in zip(notices(f"x{value}"), notices(PLAIN), strict=True):
        email, expected = notice.texts[Protocol.EMAIL], plain.texts[Protocol.EMAIL]

        assert skeleton(email) == skeleton(expected)
        assert len(email.splitlines()) == len(expected.splitlines())
        assert email.replace("\n", "").isprintable()
        # An email client could wrap what follows a gap. Only narrow columns of tables have one.
        assert "  " * 10 not in email


@with_attacks
def test_no_value_is_markup_in_chat(value: str) -> None:
    for notice, plain in zip(notices(value), notices(PLAIN), strict=True):
        texts = shown_in_chat(notice)

        assert len(texts) == len(shown_in_chat(plain))
        for text in texts:
            assert not re.search(r"[<>*~`\[\]]", text)
            assert not re.search(r"&(?!(amp|lt|gt);)", text)
            assert text.isprintable()


@pytest.mark.parametrize("markup", ["_late_", "_late_.", "@here", "(@channel)", "__init__"])
def test_emphasis_and_mentions_are_not_markup_in_chat(markup: str) -> None:
    assert not re.search(r"(^|\W)[_@]|_(\W|$)", escape_chat(markup))


@pytest.mark.parametrize("text", ["opt_out", "ops@example.com", "order_7_of_9"])
def test_chat_shows_names_and_mail_addresses_as_they_are(text: str) -> None:
    assert escape_chat(text) == text


@with_attacks
def test_programs_find_every_value_as_it_is_on_one_line(value: str) -> None:
    failure, *_ = notices(value)
    facts = json.loads(failure.texts[Protocol.DEFAULT])["metadata"]["additionalContext"]

    on_one_line = " ".join("".join(it if it.isprintable() else " " for it in value).split())
    assert facts.get("reference", "") == on_one_line
    assert all(fact.isprintable() for notice in notices(value) for fact in facts_of(notice))


@with_attacks
def test_an_attribute_of_a_filter_policy_is_what_sns_accepts(value: str) -> None:
    for notice in notices(value):
        texts = [it for it in notice.attributes.values() if isinstance(it, str)]

        assert all(text and text.isprintable() for text in texts)
        assert re.fullmatch(r"[ -~]{1,99}", notice.subject)


@pytest.mark.parametrize("separator", ["\u200b", "\u00ad", "\u2060", "\x00", "\u2028", "\u202e"])
def test_an_invisible_character_does_not_hide_a_number_from_masking(separator: str) -> None:
    number = separator.join(("+1", "555", "867", "5310"))

    message = a_message(an_update("failed", to=number, from_=number))
    notice = compose(message_content(message, LINKS, POLICY))

    assert "8675310" not in re.sub(r"[^0-9]", "", "".join(notice.texts.values()))


def facts_of(notice: FailureNotice) -> list[str]:
    context = json.loads(notice.texts[Protocol.DEFAULT])["metadata"]["additionalContext"]
    return list(context.values())
