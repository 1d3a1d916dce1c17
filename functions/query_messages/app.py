"""The truth about a message, or about a request to send one, in one request.

Trigger: GET /messages/{message_sid} and GET /requests/{request_id} on MessagesApi.
Effect: none; it only reads.
"""

import os
import re
from datetime import UTC, datetime
from functools import partial
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEventV2
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from delivery import aws
from delivery.answers import Answer, answer, problem
from delivery.error_codes import explain
from delivery.message import Message, Outcome, Record
from delivery.request_store import RequestStore
from delivery.send_request import RequestState, SendRequest
from delivery.store import MessageStore, StoreUnavailable

# What people ask for may be a phone number: it is in no answer and no line of the log.
_MAY_BE_A_KEY = re.compile(r"\w{1,128}")

now = partial(datetime.now, UTC)
logger = Logger()
dynamodb = aws.client(
    "dynamodb", config=Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 3})
)
store = MessageStore(dynamodb, os.environ["MESSAGES_TABLE"])
requests = RequestStore(dynamodb, os.environ["SEND_REQUESTS_TABLE"])


def show_message(message_sid: str) -> Answer:
    """The message as it is now; one that failed is explained."""
    message = store.get(message_sid)
    if message is None:
        return problem(404, "No such message is known here; ask by its SID.")
    explained: Record = {}
    if message.outcome is Outcome.FAILED:
        explained = {"explanation": explain(message.error_code).as_record()}
    return answer(200, message.as_record() | explained)


def show_request(request_id: str) -> Answer:
    """What became of a request: also of one whose function died, as far as callbacks tell."""
    request = requests.get(request_id)
    if request is not None:
        return answer(200, _state_of(request))
    refused = store.get(request_id)  # bad input on the queue, which claims nothing
    if refused is None:
        return problem(
            404, "No such request is known here; it is forgotten some time after it ended."
        )
    return answer(200, _refused(refused))


def _state_of(request: SendRequest) -> Record:
    state, message_sid = request.state_at(now()), request.message_sid
    if state in {RequestState.IN_DOUBT, RequestState.NOT_FOUND}:
        message = store.sent_under(request.request_id, request.to, request.sent_since)
        if message is not None:
            state, message_sid = RequestState.SENT, message.message_sid
    shown: Record = {
        "request_id": request.request_id,
        "state": str(state),
        "message_sid": message_sid,
        "reference": request.reference,
    }
    match state:
        case RequestState.REFUSED:
            shown["problem"] = _problem(request.error_code)
        case RequestState.NOT_FOUND:
            shown["problem"] = {
                "detail": "It was probably not sent, and is never sent again under its key. "
                "To send it, use a new key."
            }
    return {name: fact for name, fact in shown.items() if fact is not None}


def _refused(message: Message) -> Record:
    return {
        "request_id": message.message_sid,
        "state": str(RequestState.REFUSED),
        "problem": _problem(message.error_code),
    } | ({"reference": message.reference} if message.reference else {})


def _problem(error_code: int | None) -> Record:
    if error_code is None:
        return {
            "detail": "The request was not one that can be sent; the sender's log names its fields."
        }
    return {"error_code": error_code, "explanation": explain(error_code).as_record()}


def lambda_handler(event: dict[str, Any], _context: LambdaContext) -> Answer:
    """API Gateway calls this for each GET of MessagesApi."""
    request = APIGatewayProxyEventV2(event)
    show, key = {
        "GET /messages/{message_sid}": (show_message, "message_sid"),
        "GET /requests/{request_id}": (show_request, "request_id"),
    }[request.route_key]
    asked = request.path_parameters.get(key, "")
    if not _MAY_BE_A_KEY.fullmatch(asked):
        return problem(404, "That is no id; messages are known by their SID.")
    try:
        return show(asked)
    except StoreUnavailable as error:
        logger.error("Not read", reason=str(error))
        return problem(503, "It could not be read; ask again.", headers={"retry-after": "5"})
