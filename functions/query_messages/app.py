"""The truth about a message in one request: GET /messages/{message_sid} on MessagesApi.

Effect: none; it only reads.
"""

import os
import re
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEventV2
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from delivery.answers import Answer, answer, problem
from delivery.error_codes import explain
from delivery.message import Message, Outcome, Record
from delivery.store import MessageStore, StoreUnavailable

_MAY_BE_A_KEY = re.compile(r"\w{1,128}")

logger = Logger()
store = MessageStore(
    boto3.client(
        "dynamodb",
        config=Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 3}),
    ),
    os.environ["MESSAGES_TABLE"],
)


def show_message(message_sid: str) -> Answer:
    """The message as it is now; one that failed is explained."""
    try:
        message = store.get(message_sid) if _MAY_BE_A_KEY.fullmatch(message_sid) else None
    except StoreUnavailable as error:
        logger.error("Message not read", reason=str(error))
        return problem(
            503, "The message could not be read; ask again.", headers={"retry-after": "5"}
        )
    if message is None:
        # Without what was asked for: that may be a phone number.
        return problem(404, "No such message is known here; ask by its SID.")
    return answer(200, message.as_record() | _explanation(message))


def _explanation(message: Message) -> Record:
    if message.outcome is not Outcome.FAILED:
        return {}
    explained = explain(message.error_code)
    return {
        "explanation": {
            "title": explained.title,
            "category": str(explained.category),
            "retryable": explained.retryable,
            "action": explained.action,
        }
    }


def lambda_handler(event: dict[str, Any], _context: LambdaContext) -> Answer:
    """API Gateway calls this for each GET of MessagesApi."""
    request = APIGatewayProxyEventV2(event)
    return show_message(request.path_parameters.get("message_sid", ""))
