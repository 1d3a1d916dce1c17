"""QueryMessagesFunction returns messages, lists, requests and summaries."""

import io
import json
from dataclasses import replace
from datetime import timedelta
from itertools import cycle
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from mypy_boto3_dynamodb import DynamoDBClient

from delivery.domain.audits import AuditState, Difference
from delivery.domain.messages import Source, StatusUpdate
from delivery.domain.send_requests import RequestState
from delivery.storage.audits import AuditStore
from delivery.storage.messages import MessageStore
from tests.functions.conftest import ENVIRONMENT
from tests.functions.sender import SenderRig, a_document
from tests.support.api_description import assert_described_answer
from tests.support.builders import MESSAGE_SID, NOON, an_update
from tests.support.clock import Clock
from tests.support.faults import make_unreadable
from tests.support.granted import permissions_of
from tests.support.scripted_twilio import rejected

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

UNSENT_ID = "rq_" + "a" * 32


class QueryRig:
    """The function, and requests of MessagesApi; each returns the HTTP status and the body.

    Every answer must be one that the description of MessagesApi has.
    """

    def __init__(self, dynamodb: DynamoDBClient, clock: Clock) -> None:
        from functions.query_messages import app  # noqa: PLC0415 -- its client needs moto first

        self.function = app.build(ENVIRONMENT, dynamodb, now=clock)
        self._dynamodb = dynamodb
        self.clock = clock
        self.seconds_left = 14.0

    def message(self, message_sid: str = MESSAGE_SID) -> tuple[int, dict[str, Any]]:
        return self._get("/messages/{message_sid}", message_sid=message_sid)

    def request(self, request_id: str) -> tuple[int, dict[str, Any]]:
        return self._get("/requests/{request_id}", request_id=request_id)

    def list(self, query: str) -> tuple[int, dict[str, Any]]:
        return self._get("/messages", query)

    def summary(self, query: str = "") -> tuple[int, dict[str, Any]]:
        return self._get("/summary", query)

    def audits(self, query: str = "") -> tuple[int, dict[str, Any]]:
        return self._get("/audits", query)

    def _get(self, route: str, query: str = "", **parameters: str) -> tuple[int, dict[str, Any]]:
        path = route.format(**parameters)
        event = {
            "version": "2.0",
            "routeKey": f"GET {route}",
            "rawPath": path,
            "rawQueryString": query,
            "headers": {},
            "requestContext": {"http": {"method": "GET", "path": path}},
            "isBase64Encoded": False,
        } | ({"pathParameters": parameters} if parameters else {})
        context = SimpleNamespace(
            function_name="QueryMessagesFunction",
            aws_request_id="1",
            get_remaining_time_in_millis=lambda: int(self.seconds_left * 1000),
        )
        with permissions_of("QueryMessagesFunction", self._dynamodb):
            response = self.function.handle(event, cast("LambdaContext", context))
        assert_described_answer(f"GET {route}", response)
        return response["statusCode"], json.loads(response["body"])


@pytest.fixture
def query(
    dynamodb: DynamoDBClient,
    messages_table: str,  # noqa: ARG001 -- the function uses it
    requests_table: str,  # noqa: ARG001 -- the same
    control_table: str,  # noqa: ARG001 -- the same
    clock: Clock,
) -> QueryRig:
    return QueryRig(dynamodb, clock)


# --- messages ------------------------------------------------------------------------------------


def test_a_message_is_returned_as_it_is_stored(query: QueryRig, store: MessageStore) -> None:
    store.record(an_update("queued", source=Source.SEND, reference="order-1", num_segments="1"))
    message = store.record(an_update("delivered", after=5)).message

    status, body = query.message()

    assert status == 200
    assert body == message.as_record()
    assert [entry["status"] for entry in body["transitions"]] == ["queued", "delivered"]


def test_the_reported_words_are_in_the_message_and_in_an_explanation_of_an_unknown_code(
    query: QueryRig, store: MessageStore
) -> None:
    store.record(an_update("failed", error_code=99999, error_detail="Not opted in"))

    _, body = query.message()

    assert body["error_detail"] == "Not opted in"
    assert "Not opted in" in body["explanation"]["action"]


@pytest.mark.parametrize(
    "spelled", [MESSAGE_SID.lower(), f" {MESSAGE_SID[:10]} {MESSAGE_SID[10:].upper()}\n"]
)
def test_a_sid_is_accepted_with_spaces_and_in_another_case(
    query: QueryRig, store: MessageStore, spelled: str
) -> None:
    store.record(an_update("sent"))

    assert query.message(spelled)[1]["message_sid"] == MESSAGE_SID


@pytest.mark.parametrize("unknown", ["SMnone", "+15558675310", "", "x" * 3000])
def test_404_for_an_unknown_message_does_not_quote_the_id(
    query: QueryRig, log_output: io.StringIO, unknown: str
) -> None:
    status, body = query.message(unknown)

    assert status == 404
    assert not unknown or unknown not in json.dumps(body) + log_output.getvalue()


def test_503_if_the_table_does_not_answer(query: QueryRig, dynamodb: DynamoDBClient) -> None:
    dynamodb.delete_table(TableName="MessagesTable")

    assert query.message()[0] == 503


# --- lists ---------------------------------------------------------------------------------------


def sids(body: dict[str, Any]) -> list[str]:
    return [message["message_sid"] for message in body["messages"]]


@pytest.fixture
def three(store: MessageStore) -> list[str]:
    """SIDs of a failed, a pending and an unconfirmed message to one number, the newest first."""
    made = [f"SM{number:032x}" for number in (3, 2, 1)]
    store.record(an_update("failed", message_sid=made[0], after=3, error_code=30007))
    store.record(an_update("sent", message_sid=made[1], after=2, reference="order-7"))
    sent = store.record(an_update("sent", message_sid=made[2], after=1)).message
    store.record_unconfirmed(sent, NOON + timedelta(hours=1))
    return made


def test_the_messages_to_a_number_are_listed_newest_first(
    query: QueryRig, three: list[str]
) -> None:
    status, body = query.list("to=%2B1+(555)+867-5310")

    assert status == 200
    assert body["filter"] == {"to": "+15558675310"}
    assert sids(body) == three
    assert body["messages"] == [query.message(message_sid)[1] for message_sid in three]
    assert body["messages"][0]["explanation"]["category"] == "carrier_filtering"
    assert "next_token" not in body


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("+15558675310", "whatsapp:+15558675310"),
        ("+5531996883193", "whatsapp:+553196883193"),
        ("whatsapp:US.13491208655302741918", "whatsapp:US.13491208655302741918"),
    ],
)
def test_a_person_is_found_on_every_channel_and_in_whatsapp_s_variants(
    query: QueryRig, store: MessageStore, typed: str, stored: str
) -> None:
    store.record(an_update("sent", to=stored))

    _, body = query.list(f"to={typed}")

    assert sids(body) == [MESSAGE_SID]
    assert body["filter"] == {"to": typed}


@pytest.mark.parametrize("limit", [1, 2])
def test_the_addresses_of_a_person_are_one_list_over_all_pages(
    query: QueryRig, store: MessageStore, limit: int
) -> None:
    channels = ("", "whatsapp:", "rcs:", "whatsapp:", "", "rcs:", "viber:")
    for number, channel in enumerate(channels):  # two have the same time
        to = f"{channel}+15558675310"
        store.record(an_update("sent", message_sid=f"SM{number:032x}", to=to, after=number // 2))
    store.record(an_update("sent", message_sid="SM" + "f" * 32, to="+15558675311"))

    listed, token = list[str](), ""
    for typed in cycle(("+15558675310", "whatsapp:+15558675310")):
        _, body = query.list(f"to={typed}&limit={limit}{token}")
        listed += sids(body)
        if "next_token" not in body:
            break
        token = f"&next_token={body['next_token']}"

    assert listed == [f"SM{number:032x}" for number in reversed(range(len(channels)))]


@pytest.mark.parametrize(
    ("raw_query", "expected"),
    [
        ("reference=order-7", [1]),
        ("failed_on=2026-11-23", [0]),
        ("unconfirmed_on=2026-11-23", [2]),
        ("pending=true", [1]),
    ],
)
def test_each_filter_has_its_list(
    query: QueryRig, three: list[str], raw_query: str, expected: list[int]
) -> None:
    status, body = query.list(raw_query)

    assert status == 200
    assert sids(body) == [three[index] for index in expected]
    assert body["filter"] == dict([raw_query.split("=")])


def test_a_page_has_twenty_messages_by_default(query: QueryRig, store: MessageStore) -> None:
    for number in range(21):
        store.record(an_update(message_sid=f"SM{number:032x}"))

    assert len(query.list("to=+15558675310")[1]["messages"]) == 20
    assert len(query.list("to=+15558675310&limit=100")[1]["messages"]) == 21


@pytest.mark.parametrize(
    ("raw_query", "field", "fix"),
    [
        ("", "to", "set it, or reference"),
        ("to=", "to", "country code"),
        ("to=5558675310", "to", "country code"),
        ("to=" + "9" * 300, "to", "too long"),
        ("to=+15558675310&to=+15558675310", "to", "set it once"),
        ("to=+15558675310&failed_on=2026-11-23", "failed_on", "a request for each"),
        ("reference=" + "x" * 129, "reference", "1 to 128"),
        ("failed_on=yesterday", "failed_on", "e.g. 2026-11-23"),
        ("unconfirmed_on=", "unconfirmed_on", "e.g. 2026-11-23"),
        ("pending=false", "pending", "omit it"),
        ("pending=true&limit=0", "limit", "from 1 to 100"),
        ("pending=true&limit=101", "limit", "from 1 to 100"),
        ("pending=true&limit=" + "1" * 4301, "limit", "from 1 to 100"),
        ("pending=true&limit=\u0661", "limit", "from 1 to 100"),
        ("pending=true&next_token=", "next_token", "omit it"),
        ("pending=true&next_token=abc", "next_token", "next_token"),
        ("pending=true&page=2", "page", "known are to, reference"),
        ("pending=true&%2B15558675310=1", "?", "known are to, reference"),
        ("&".join(f"p{number}=1" for number in range(30)), "query", "more than 20"),
    ],
)
def test_400_names_the_parameter_and_the_fix(
    query: QueryRig, log_output: io.StringIO, raw_query: str, field: str, fix: str
) -> None:
    status, body = query.list(raw_query)

    assert status == 400
    assert field in [it["field"] for it in body["problems"]]
    assert any(it["field"] == field and fix in it["problem"] for it in body["problems"])
    assert not any(number in json.dumps(body) for number in ("8675310", "99999"))
    assert not log_output.getvalue()


def test_400_lists_every_problem(query: QueryRig) -> None:
    _, body = query.list("failed_on=x&limit=0&page=1")

    assert [it["field"] for it in body["problems"]] == ["failed_on", "limit", "page"]


def test_an_unreadable_message_is_reported_and_missing_in_lists(
    query: QueryRig, three: list[str], dynamodb: DynamoDBClient, log_output: io.StringIO
) -> None:
    make_unreadable(dynamodb, "MessagesTable", message_sid=three[1])

    status, body = query.list("to=+15558675310")

    assert (status, sids(body)) == (200, [three[0], three[2]])
    (line,) = map(json.loads, log_output.getvalue().splitlines())
    assert (line["message"], line["key"]) == ("ItemUnreadable", three[1])


# --- the summary ---------------------------------------------------------------------------------


def test_failures_are_counted_by_category_code_and_sender(
    query: QueryRig, store: MessageStore
) -> None:
    failures = [(30007, "+15005550006")] * 3 + [(30003, "+15005550007")] * 2 + [(None, None)]
    for number, (code, sender) in enumerate(failures):
        message_sid = f"SM{number:032x}"
        store.record(an_update("failed", message_sid=message_sid, error_code=code, from_=sender))
    store.record(an_update("failed", message_sid="SM" + "a" * 32))
    store.record(an_update("delivered", message_sid="SM" + "a" * 32, after=1))

    status, body = query.summary("date=2026-11-23")

    assert (status, body["date"], body["complete"]) == (200, "2026-11-23", True)
    failed = body["failed"]
    assert (failed["count"], failed["complete"]) == (6, True)
    assert failed["by_category"] == {
        "carrier_filtering": 3,
        "recipient_unreachable": 2,
        "unknown": 1,
    }
    assert [(it["error_code"], it["count"]) for it in failed["by_error_code"]] == [
        (30007, 3),
        (30003, 2),
        (None, 1),
    ]
    assert {it["category"] for it in failed["by_error_code"]} == failed["by_category"].keys()
    assert list(failed["by_sender"].items()) == [
        ("+15005550006", 3),
        ("+15005550007", 2),
        ("unknown", 1),
    ]


def test_failures_of_more_than_twenty_senders_are_counted_together(
    query: QueryRig, store: MessageStore
) -> None:
    for number in range(23):
        sender = f"+1500555{number:04}"
        store.record(an_update("failed", message_sid=f"SM{number:032x}", from_=sender))

    by_sender = query.summary("date=2026-11-23")[1]["failed"]["by_sender"]

    assert (len(by_sender), by_sender["others"]) == (21, 3)


def test_pending_messages_are_counted_by_age(
    query: QueryRig, store: MessageStore, clock: Clock
) -> None:
    scheduled, counted_meanwhile = -48, -0.001
    hours_old = [scheduled, counted_meanwhile, 0.5, 0.9, 1.5, 23, 25]
    for number, hours in enumerate(hours_old):
        is_scheduled = hours == scheduled
        heard_of = clock() - timedelta(hours=0 if is_scheduled else hours)
        send_at = clock() - timedelta(hours=hours) if is_scheduled else None
        update = an_update("queued", message_sid=f"SM{number:032x}", send_at=send_at)
        store.record(replace(update, at=heard_of))

    _, body = query.summary("date=2020-01-01")

    assert body["pending"] == {
        "count": 7,
        "complete": True,
        "by_age": {"scheduled": 1, "under_1_hour": 3, "1_to_24_hours": 2, "over_24_hours": 1},
    }


def test_unconfirmed_messages_are_counted_by_day_and_the_default_is_today(
    query: QueryRig, store: MessageStore, clock: Clock
) -> None:
    for number, days in enumerate((0, 0, 1)):
        sent = store.record(an_update("sent", message_sid=f"SM{number:032x}")).message
        store.record_unconfirmed(sent, clock() - timedelta(days=days))

    _, body = query.summary()

    assert body["date"] == clock().date().isoformat()
    assert body["unconfirmed"] == {
        "count": 2,
        "complete": True,
        "by_sender": {"+15005550006": 2},
    }
    assert "+15558675310" not in json.dumps(body)


def test_only_requests_in_doubt_are_counted_as_such(query: QueryRig, sender: SenderRig) -> None:
    at_work, given_up, _ = (sender.send_in_doubt() for _ in range(3))
    sender.requests.complete(at_work, replace(at_work, state=RequestState.IN_PROGRESS))
    sender.presume_unsent(given_up)

    _, body = query.summary()

    assert (body["in_doubt"]["count"], body["in_doubt"]["complete"]) == (1, True)
    assert body["in_doubt"]["oldest_at"]


@pytest.mark.parametrize(
    ("max_count", "seconds_left", "counted"), [(3, 14, 3), (4, 14, 4), (9, 0.1, 0)]
)
def test_a_summary_that_stops_early_is_not_complete(
    query: QueryRig, store: MessageStore, max_count: int, seconds_left: float, counted: int
) -> None:
    for number in range(4):
        store.record(an_update("failed", message_sid=f"SM{number:032x}"))
    query.function = replace(query.function, max_count=max_count)
    query.seconds_left = seconds_left

    _, body = query.summary("date=2026-11-23")

    assert body["complete"] is body["failed"]["complete"] is (counted == 4)
    assert body["failed"]["count"] == counted
    assert body["unconfirmed"]["complete"] is True


def test_the_audits_of_a_day_have_the_result_of_each_account(
    query: QueryRig, dynamodb: DynamoDBClient
) -> None:
    audits = AuditStore(dynamodb, ENVIRONMENT["CONTROL_TABLE"])
    accounts = ["AC" + digit * 32 for digit in "123"]
    audits.add_accounts(accounts)
    day = NOON.date()
    for account_sid in accounts[:2]:
        claimed = audits.claim(account_sid, day, AuditState.FIRST, NOON)
        assert claimed is not None
        priced = claimed.with_price("-0.0075", "USD")
        audits.save(priced.with_difference(Difference.LOWER_STATUS, MESSAGE_SID))

    query.clock.time = NOON + timedelta(days=1)
    _, by_day = query.audits(f"on={day}")
    _, yesterday = query.audits()
    _, today = query.audits(f"on={query.clock.time.date()}")

    assert [it["account_sid"] for it in by_day["audits"]] == accounts[:2]
    first = by_day["audits"][0]
    assert (first["day"], first["state"]) == (day.isoformat(), "running")
    assert first["spend"] == {"USD": "0.0075"}
    assert first["difference_sids"] == {"lower_status": [MESSAGE_SID]}
    assert not {"version", "lease_until", "next_page"} & first.keys()
    assert yesterday == by_day
    assert today["audits"] == []


def test_an_unreadable_audit_does_not_hide_those_of_other_accounts(
    query: QueryRig, dynamodb: DynamoDBClient
) -> None:
    audits = AuditStore(dynamodb, ENVIRONMENT["CONTROL_TABLE"])
    accounts = ["AC" + digit * 32 for digit in "12"]
    audits.add_accounts(accounts)
    for account_sid in accounts:
        audits.claim(account_sid, NOON.date(), AuditState.FIRST, NOON)
    name = f"audit#{accounts[0]}#{NOON.date()}"
    make_unreadable(dynamodb, ENVIRONMENT["CONTROL_TABLE"], name=name)

    status, body = query.audits(f"on={NOON.date()}")

    assert status == 200
    assert [it["account_sid"] for it in body["audits"]] == accounts[1:]


@pytest.mark.parametrize(
    ("raw_query", "field"), [("date=monday", "date"), ("day=2026-11-23", "day")]
)
def test_400_for_an_invalid_day(query: QueryRig, raw_query: str, field: str) -> None:
    status, body = query.summary(raw_query)

    assert (status, body["problems"][0]["field"]) == (400, field)
    assert query.audits(raw_query)[0] == 400


# --- requests ------------------------------------------------------------------------------------


def record_unsent(store: MessageStore, status: str) -> StatusUpdate:
    """Record a request that became no message; the request itself is not kept any more."""
    update = an_update(status, message_sid=UNSENT_ID, request_id=UNSENT_ID, reference="order-9")
    store.record_unsent_request(update)
    return update


def test_a_sent_request_names_its_message(query: QueryRig, sender: SenderRig) -> None:
    _, message = sender.post(a_document(reference="order-7"))

    status, body = query.request(message["request_id"])

    assert status == 200
    assert body == {
        "request_id": message["request_id"],
        "state": "sent",
        "message_sid": message["message_sid"],
        "reference": "order-7",
    }


def test_a_rejected_request_has_its_problem(query: QueryRig, sender: SenderRig) -> None:
    sender.twilio.will(rejected(400, 21211))
    _, answer = sender.post(a_document())

    _, body = query.request(answer["request_id"])

    assert body["state"] == "rejected"
    assert body["problem"]["error_code"] == 21211
    assert body["problem"]["explanation"]["category"] == "recipient_unreachable"


def test_invalid_input_on_the_queue_is_a_rejected_request(
    query: QueryRig, sender: SenderRig
) -> None:
    sender.receive(a_document(to="not-a-number", reference="order-8"))
    (message,) = sender.messages()

    _, body = query.request(message.message_sid)

    assert (body["state"], body["reference"]) == ("rejected", "order-8")
    assert body["problem"]["detail"].startswith("The send request was invalid.")
    assert "to must be a number" in body["problem"]["explanation"]["action"]


def test_a_claim_is_in_progress_and_after_its_lease_in_doubt(
    query: QueryRig, sender: SenderRig
) -> None:
    request = sender.send_in_doubt()
    sender.requests.complete(request, replace(request, state=RequestState.IN_PROGRESS))

    at_once = query.request(request.request_id)[1]["state"]
    sender.clock.advance(minutes=1)
    later = query.request(request.request_id)[1]["state"]

    assert (at_once, later) == ("in_progress", "in_doubt")


def test_a_callback_with_the_request_id_shows_a_request_in_doubt_as_sent(
    query: QueryRig, sender: SenderRig, store: MessageStore
) -> None:
    doubt = sender.send_in_doubt()
    store.record(replace(an_update("sent", request_id=doubt.request_id), at=sender.clock()))

    _, body = query.request(doubt.request_id)

    assert (body["state"], body["message_sid"]) == ("sent", MESSAGE_SID)


def test_a_request_that_is_presumed_unsent_needs_a_new_key(
    query: QueryRig, sender: SenderRig
) -> None:
    request = sender.presume_unsent(sender.send_in_doubt())

    _, body = query.request(request.request_id)

    assert body["state"] == "presumed_unsent"
    assert "new key" in body["problem"]["detail"]


def test_404_for_a_message_as_a_request(query: QueryRig, store: MessageStore) -> None:
    store.record(an_update("delivered", request_id=UNSENT_ID))

    assert query.request(MESSAGE_SID)[0] == 404
    assert query.request(UNSENT_ID)[0] == 404


@pytest.mark.parametrize(
    ("state", "title"),
    [
        ("rejected", "The send request was invalid"),
        ("presumed_unsent", "No trace of it at Twilio"),
    ],
)
def test_an_unsent_request_is_known_as_long_as_messages_are_kept(
    query: QueryRig, store: MessageStore, state: str, title: str
) -> None:
    record_unsent(store, state)

    _, body = query.request(UNSENT_ID)
    _, message = query.message(UNSENT_ID)

    assert (body["state"], body["reference"]) == (state, "order-9")
    assert body["problem"]["explanation"] == message["explanation"]
    assert message["explanation"]["title"] == title


def test_a_superseded_request_is_sent_also_when_only_its_message_is_kept(
    query: QueryRig, store: MessageStore
) -> None:
    update = record_unsent(store, "presumed_unsent")
    store.record_superseded(update)

    _, body = query.request(update.message_sid)

    assert (body["state"], "problem" in body) == ("sent", False)


def test_a_superseded_request_is_in_no_list(query: QueryRig, store: MessageStore) -> None:
    update = record_unsent(store, "presumed_unsent")
    store.record_superseded(update)
    store.record(an_update("delivered", request_id=update.message_sid, reference="order-9"))

    for raw_query in ("to=%2B15558675310", "reference=order-9"):
        assert sids(query.list(raw_query)[1]) == [MESSAGE_SID]
