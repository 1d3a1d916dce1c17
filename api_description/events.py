"""JSON Schemas of what the stack publishes: outcome events (EventBridge) and failure notices (SNS).

They are files of their own and not webhooks of the OpenAPI document, because no HTTP request
carries them. They are written in Draft 4, the only version that the schema registry of EventBridge
takes, which validators of later versions read as well.
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-schema.html
"""

from typing import Final

from delivery.domain.statuses import MessageStatus, Outcome
from delivery.twilio.error_codes import Category
from functions.notify_failure.incident import NoticeKind
from functions.notify_failure.notice import Event
from functions.publish_outcomes.event_bus import DETAIL_TYPE, SOURCE
from functions.publish_outcomes.outcome_event import event_detail

from .samples import failed_message
from .schema import Schema, Texts, of_object, of_words

_DRAFT: Final = "http://json-schema.org/draft-04/schema#"
_TEXT: Final[Schema] = {"type": "string"}
_TIME: Final[Schema] = {"type": "string", "format": "date-time"}
_BOOLEAN_WORDS: Final[Schema] = of_words(["true", "false"])
_NUMBER_TEXT: Final[Schema] = {"type": "string", "pattern": "^[0-9]+$"}

_DETAIL: Final[Texts] = {
    "event_id": "The same however often the event is published.",
    "message_sid": "Twilio's SID of the message; of a queued request that became no message, its "
    "request id.",
    "outcome": "The outcome of the message.",
    "previous_outcome": "Its outcome before; a message that did not exist was pending.",
    "changed_at": "When the outcome changed. Compare it to order the events of a message.",
    "created_at": "When the message was created.",
    "status": "Twilio's status of the message, or rejected or presumed_unsent.",
    "error_code": "Twilio's error code, if outcome is failed and there is one.",
    "category": "The category of the failure, if outcome is failed.",
    "retryable": "Whether sending the same message again can succeed, if outcome is failed.",
    "account_sid": "The Twilio account.",
    "messaging_service_sid": "The messaging service.",
    "request_id": "The id of the send request.",
    "reference": "The caller's own id.",
    "context": "The caller's own name-value pairs.",
    "to": "The last digits of the recipient's number.",
    "from": "The last digits of the sender's number, or the sender's name.",
}

_FACTS: Final[Texts] = {
    "event": "Whether something failed or has recovered.",
    "headline": "The notice in one sentence.",
    "kind": "Which notice of its incident it is; a recovery has none.",
    "notice_id": "The same however often the notice is published.",
    "incident_id": "The incident that counts the failure.",
    "account_sid": "The Twilio account.",
    "error_code": "Twilio's error code.",
    "title": "What went wrong.",
    "category": "The category of the failure.",
    "retryable": "Whether sending the same message again can succeed.",
    "action": "What to do about this error.",
    "impact": "Which other messages are affected.",
    "advice": "What to do now.",
    "follow_up": "Which notice comes next.",
    "error_url": "Twilio's page about the error.",
    "dashboard_url": "The stack's dashboard.",
    "message_sid": "One message: its SID, or the request id of a request that became no message.",
    "request_id": "One message: the id of its send request.",
    "reference": "One message: the caller's own id.",
    "messaging_service_sid": "One message: its messaging service.",
    "to": "One message: the recipient, masked unless NoticesShowFullNumbers is on.",
    "from": "One message: the sender, masked in the same way.",
    "status": "One message: its status.",
    "outcome": "One message: its outcome.",
    "created_at": "One message: when it was created.",
    "final_at": "One message: when it reached its outcome.",
    "timeline": "One message: its statuses with their times.",
    "found_by_audit_of": "One message: the day whose audit found its status.",
    "sent_days_ago": "One message: the days from `found_by_audit_of` to `final_at`.",
    "message_url": "One message: its URL at MessagesApi.",
    "request_url": "One message: the URL of its send request, if it became no message.",
    "range_from": "The first number of the incident's count that this notice covers.",
    "range_to": "The last number of the incident's count that this notice covers.",
    "counted": "Failures of the incident until now.",
    "failures": "Summary: failures that this notice covers.",
    "recovered": "Summary: failures of the incident that have recovered.",
    "found_by_audit": "Summary: failures that this notice covers and an audit found.",
    "cause": "Summary: what the failures share: an error code, or a status.",
    "opened_at": "Summary: when the incident opened.",
    "since": "Summary: the start of the time that it covers.",
    "until": "Summary: the end of the time that it covers.",
    "last_failure_at": "Summary: when a message failed last.",
    "first_at": "Summary: when the first of the covered messages failed.",
    "last_at": "Summary: when the last of the covered messages failed.",
    "senders": "Summary: the senders with the most failures, with their counts.",
    "examples": "Summary: some of the messages.",
    "list_url": "Summary: the URL of the list of the day's failed messages at MessagesApi.",
}


def outcome_event() -> Schema:
    """Return the schema of an event as EventBridge delivers it."""
    types: dict[str, Schema] = {
        "outcome": of_words(Outcome),
        "previous_outcome": of_words(Outcome),
        "changed_at": _TIME,
        "created_at": _TIME,
        "status": of_words(MessageStatus),
        "error_code": {"type": "integer"},
        "category": of_words(Category),
        "retryable": {"type": "boolean"},
        "context": {"type": "object", "additionalProperties": _TEXT},
    }
    required = ["event_id", "message_sid", "outcome", "previous_outcome", "changed_at"]
    detail = of_object(
        {name: types.get(name, _TEXT) for name in _DETAIL},
        _DETAIL,
        required=[*required, "created_at", "status"],
    )
    return {
        "$schema": _DRAFT,
        "title": DETAIL_TYPE,
        "description": "The outcome of a message changed. A later version may add members.",
        **of_object(
            {
                "source": of_words([SOURCE]),
                "detail-type": of_words([DETAIL_TYPE]),
                "detail": detail,
            },
            {
                "source": "The source of the event, for rules.",
                "detail-type": "The kind of event, for rules.",
                "detail": "The facts of the change; unknown ones are omitted.",
            },
            required=["source", "detail-type", "detail"],
        ),
        "example": {
            "source": SOURCE,
            "detail-type": DETAIL_TYPE,
            "detail": event_detail(failed_message(), Outcome.PENDING),
        },
    }


def failure_notice() -> Schema:
    """Return the schema of the JSON of a notice: all subscribers but email receive it."""
    types: dict[str, Schema] = {
        "event": of_words(Event),
        "kind": of_words(NoticeKind),
        "category": of_words(Category),
        "retryable": _BOOLEAN_WORDS,
        "outcome": of_words(Outcome),
        **dict.fromkeys(("error_code", "range_from", "range_to", "counted"), _NUMBER_TEXT),
        **dict.fromkeys(("failures", "recovered", "found_by_audit", "sent_days_ago"), _NUMBER_TEXT),
        **dict.fromkeys(("created_at", "final_at", "opened_at", "since", "until"), _TIME),
        **dict.fromkeys(("last_failure_at", "first_at", "last_at"), _TIME),
    }
    required = ["event", "headline", "notice_id", "incident_id", "title", "category", "retryable"]
    facts = of_object(
        {name: types.get(name, _TEXT) for name in _FACTS}, _FACTS, required=[*required, "action"]
    )
    texts = {"type": "array", "items": _TEXT}
    content = of_object(
        {
            "textType": of_words(["client-markdown"]),
            "title": _TEXT,
            "description": _TEXT,
            "nextSteps": texts,
            "keywords": texts,
        },
        {
            "textType": "How chat clients read the texts.",
            "title": "The headline.",
            "description": "What happened, and which other messages are affected.",
            "nextSteps": "What to do, and where to look.",
            "keywords": "The event, the category, and the error code.",
        },
        required=["textType", "title", "description", "nextSteps", "keywords"],
    )
    metadata = of_object(
        {
            "threadId": _TEXT,
            "summary": _TEXT,
            "eventType": of_words(Event),
            "relatedResources": texts,
            "additionalContext": facts,
        },
        {
            "threadId": "The incident: chat clients show its notices as one thread.",
            "summary": "The headline.",
            "eventType": "Whether something failed or has recovered.",
            "relatedResources": "The SIDs of the messages that the notice names.",
            "additionalContext": "The facts for programs, each a text on one line and not "
            "escaped; unknown ones are omitted.",
        },
        required=["threadId", "summary", "eventType", "relatedResources", "additionalContext"],
    )
    return {
        "$schema": _DRAFT,
        "title": "Failure notice",
        "description": "A message failed or has recovered, or an incident is summarized or closed. "
        "The form is the custom-notification schema of Amazon Q Developer in chat applications; "
        "programs read metadata.additionalContext. A later version may add members.",
        **of_object(
            {
                "version": of_words(["1.0"]),
                "source": of_words(["custom"]),
                "id": _TEXT,
                "content": content,
                "metadata": metadata,
            },
            {
                "version": "The version of Amazon Q's schema.",
                "source": "Custom notifications have this source.",
                "id": "The notice id: the same however often the notice is published.",
                "content": "What chat clients show, escaped for them.",
                "metadata": "What programs read.",
            },
            required=["version", "source", "id", "content", "metadata"],
        ),
    }
