"""What the MessagesTable's stream shows of a message's life: a record for each of its writes."""

from itertools import pairwise
from typing import Any

from delivery.domain.messages import Message, Timings
from delivery.storage.items import as_item
from delivery.storage.messages import record_of
from tests.support.builders import MESSAGE_SID, NOON, a_message, an_update

type Image = dict[str, Any] | None
"""An item as the stream shows it; None where there is none."""

MARKER: Image = as_item({"message_sid": MESSAGE_SID, "erased_at": "2026-11-23T12:00:00.000Z"})
"""What erasing leaves of a message."""
GONE: Image = None
"""What the end of its time leaves."""


def image(message: Message) -> Image:
    """The item of a message."""
    return as_item(record_of(message))


def records(*images: Image) -> list[dict[str, Any]]:
    """The records of writes that left an item so, one after the other, from nothing on."""
    return [
        {
            "eventID": f"event-{number}",
            "eventName": "REMOVE" if new is None else "MODIFY" if old else "INSERT",
            "eventSource": "aws:dynamodb",
            "dynamodb": {
                "Keys": {"message_sid": (new or old or {})["message_sid"]},
                "SequenceNumber": f"{number}00",
                "StreamViewType": "NEW_AND_OLD_IMAGES",
                **({"OldImage": old} if old else {}),
                **({"NewImage": new} if new else {}),
            },
        }
        for number, (old, new) in enumerate(pairwise([None, *images]), 1)
    ]


def _histories() -> dict[str, tuple[list[Image], list[tuple[str, str]]]]:
    timings = Timings()
    sent = a_message("queued", "sent")
    failure = an_update("undelivered", after=2, error_code=30003)
    failed = sent.apply(failure, timings)
    publishing = failed.with_next_notice_state(NOON)
    published = publishing.with_next_notice_state(NOON)
    recovered = published.apply(an_update("delivered", after=9), timings)
    unconfirmed = sent.as_unconfirmed(NOON)
    delivered = sent.apply(an_update("delivered", after=2), timings)
    not_found = Message.from_unsent_request(
        an_update("presumed_unsent", message_sid="rq_" + "a" * 32), timings
    )
    plans: dict[str, tuple[list[Message | Image], list[tuple[str, str]]]] = {
        "delivered": ([a_message("queued"), sent, delivered], [("pending", "delivered")]),
        "delivered, and read": (
            [sent, delivered, delivered.apply(an_update("read", after=5), timings)],
            [("pending", "delivered")],
        ),
        "heard of when it is delivered": ([delivered], [("pending", "delivered")]),
        "failed, and published": ([sent, failed, publishing, published], [("pending", "failed")]),
        "failed, and delivered after all": (
            [
                sent,
                failed,
                publishing,
                published,
                recovered,
                recovered.with_next_notice_state(NOON),
            ],
            [("pending", "failed"), ("failed", "delivered")],
        ),
        "canceled": (
            [a_message("scheduled"), a_message("scheduled", "canceled")],
            [("pending", "canceled")],
        ),
        "unconfirmed, and delivered after all": (
            [sent, unconfirmed, unconfirmed.apply(an_update("delivered", after=9), timings)],
            [("pending", "unconfirmed"), ("unconfirmed", "delivered")],
        ),
        "unconfirmed, and failed after all": (
            [sent, unconfirmed, unconfirmed.apply(failure, timings)],
            [("pending", "unconfirmed"), ("unconfirmed", "failed")],
        ),
        "not found, and sent after all": (
            [not_found, not_found.as_superseded(NOON)],
            [("pending", "failed"), ("failed", "superseded")],
        ),
        "expired": ([sent, delivered, GONE], [("pending", "delivered")]),
        "expired while it was pending": ([sent, GONE], []),
        "erased": ([sent, failed, MARKER, GONE], [("pending", "failed")]),
        "erased while it was pending": ([sent, MARKER, GONE], []),
    }
    return {
        name: ([image(it) if isinstance(it, Message) else it for it in writes], changes)
        for name, (writes, changes) in plans.items()
    }


HISTORIES = _histories()
"""What was written, and the changes of the outcome that this is; by what happened."""
