"""What a caller is told about its request; nothing in it is Twilio's own text."""

import json
from typing import Any, assert_never

from delivery.answers import Answer, answer, problem
from delivery.error_codes import explain

from .sending import (
    Accepted,
    CancelResult,
    InDoubt,
    Invalid,
    NotDone,
    NotFound,
    Rejected,
    SendResult,
)


def answer_for(result: SendResult | CancelResult, *, accepted_status: int) -> Answer:
    """The HTTP answer; `accepted_status` is 201 where a message was made."""
    match result:
        case Accepted():
            return answer(accepted_status, result.message.as_record())
        case Invalid():
            problems = [{"field": it.field, "problem": it.problem} for it in result.problems]
            return problem(400, "Put right what `problems` lists.", problems=problems)
        case Rejected():
            return _rejected(result)
        case NotFound():
            return problem(404, "Twilio has no such message.")
        case InDoubt():
            return answer(202, {"request_id": result.request_id, "state": "in_doubt"})
        case NotDone():
            return problem(
                503,
                f"No message was sent: {result.reason}. Try again later.",
                headers={"retry-after": str(result.retry_after)},
            )
        case _:
            assert_never(result)


def direct_answer(http: Answer) -> dict[str, Any]:
    """The same for a caller who invoked the function itself: the body is an object."""
    return {"status_code": http["statusCode"], "body": json.loads(http["body"])}


def _rejected(rejected: Rejected) -> Answer:
    explained = explain(rejected.code)
    facts = {"error_code": rejected.code, "request_id": rejected.request_id}
    return problem(
        422,
        f"Twilio refused it: {explained.title}. {explained.action}",
        explanation={
            "title": explained.title,
            "category": str(explained.category),
            "retryable": explained.retryable,
            "action": explained.action,
        },
        headers=None,
        **{name: fact for name, fact in facts.items() if fact is not None},
    )
