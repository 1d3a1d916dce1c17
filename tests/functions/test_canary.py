"""The canary: sent once, and counted when a callback reports that it was delivered."""

import pytest
from aws_lambda_powertools import Metrics

from delivery.domain.messages import Source, StatusUpdate
from delivery.metrics import CountedByFacts, count_apart
from delivery.storage.messages import MessageStore
from tests.functions.sender import FROM, TO, SenderRig
from tests.support.builders import an_update
from tests.support.embedded_metrics import data_points, total
from tests.template.canary import canary_request

SENT = an_update("queued", source=Source.SEND, reference="canary")
CANARY = canary_request(to=TO, sender=FROM, scheduled_time="2026-11-24T08:00:00Z")


def test_a_canary_that_is_invoked_twice_is_sent_once(sender: SenderRig) -> None:
    first, _ = sender.invoke_directly(CANARY)
    again, _ = sender.invoke_directly(CANARY)

    assert (first, again) == (201, 200)
    assert len(sender.twilio.requests) == 1
    message = sender.message()
    assert message is not None
    assert message.reference == "canary"


@pytest.mark.parametrize(
    ("updates", "counted"),
    [
        ([SENT, an_update("sent"), an_update("delivered", after=2)], True),
        ([SENT, an_update("sent")], False),
        ([SENT, an_update("undelivered", error_code=30003)], False),
        ([SENT, an_update("delivered", after=2, source=Source.RECONCILE)], False),
        ([an_update("queued", source=Source.SEND), an_update("delivered", after=2)], False),
    ],
    ids=["delivered", "sent", "failed", "reconciled", "another message"],
)
def test_only_a_delivered_callback_of_a_canary_is_counted(
    store: MessageStore,
    capsys: pytest.CaptureFixture[str],
    updates: list[StatusUpdate],
    counted: bool,  # noqa: FBT001 -- a parameter of cases
) -> None:
    for update in updates:
        count_apart(Metrics(provider=CountedByFacts()), store.record(update))

    points = data_points(capsys.readouterr().out)
    assert total(points, "CanaryDelivered") == (1 if counted else None)


def test_a_canary_that_was_delivered_and_read_is_counted_once(
    store: MessageStore, capsys: pytest.CaptureFixture[str]
) -> None:
    for update in (SENT, an_update("delivered"), an_update("delivered"), an_update("read")):
        count_apart(Metrics(provider=CountedByFacts()), store.record(update))

    assert total(data_points(capsys.readouterr().out), "CanaryDelivered") == 1
