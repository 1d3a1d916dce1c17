"""What a caller is told about its request; nothing in it is Twilio's own text."""

import json
from typing import Any, Final, assert_never

from delivery.domain.records import Record
from delivery.domain.send_requests import RequestState
from delivery.runtime.responses import Response, bad_request, json_response, problem_response
from delivery.twilio.error_codes import explain

from .results import (
    RETRY_AFTER_SECONDS,
    Accepted,
    Batch,
    CancelResult,
    DuplicateRequest,
    IdempotencyConflict,
    Invalid,
    MessageNotFound,
    Queued,
    Rejected,
    SendResult,
    ServiceUnavailable,
    Unresolved,
)

# Of one message of a batch: an answer must fit into the 6 MB that Lambda gives.
_MAX_PROBLEMS: Final = 10


def answer_for(result: SendResult) -> Response:  # noqa: PLR0911 -- one for each result
    """What came of a request to send."""
    match result:
        case Accepted():
            return json_response(201, result.message.as_record())
        case DuplicateRequest():
            return json_response(200, _sent_before(result))
        case Invalid():
            return bad_request(result.problems)
        case IdempotencyConflict():
            return problem_response(
                409,
                "The idempotency key was used for another request; use a new key for a new one.",
                request_id=result.request_id,
            )
        case Rejected():
            return _rejected(result)
        case Unresolved(state=RequestState.PRESUMED_UNSENT):
            return problem_response(
                409,
                "The request of this key was probably not sent, and is never sent again under it. "
                "To send it, use a new key.",
                request_id=result.request_id,
                state=str(result.state),
            )
        case Unresolved():
            return json_response(202, {"request_id": result.request_id, "state": str(result.state)})
        case ServiceUnavailable():
            return _not_done(result, f"No message was sent: {result.reason}. Try again later.")
        case _:
            assert_never(result)


def answer_for_cancel(result: CancelResult) -> Response:
    """What came of a request to cancel."""
    match result:
        case Accepted():
            return json_response(200, result.message.as_record())
        case MessageNotFound():
            return problem_response(404, "Twilio has no such message.")
        case Rejected():
            return _rejected(result)
        case ServiceUnavailable():
            return _not_done(
                result,
                f"It is not known to be canceled: {result.reason}. Cancel it again; doing so twice "
                "is harmless.",
            )
        case _:
            assert_never(result)


def answer_for_batch(result: Batch | Invalid | ServiceUnavailable) -> Response:
    """202 with what became of each message; 503 with the same where some are not in the queue."""
    if not isinstance(result, Batch):
        return answer_for(result)
    counts = {"queued": result.queued, "invalid": result.invalid}
    results = [_queued_or_not(it) for it in result.results]
    if not result.not_queued:
        return json_response(202, {"results": results, **counts})
    return problem_response(
        503,
        "Some messages may not wait to be sent: ask again for those with `queued` false, each "
        "under the `idempotency_key` that is given, or for the whole batch if it had a key.",
        headers={"retry-after": str(RETRY_AFTER_SECONDS)},
        results=results,
        not_queued=result.not_queued,
        **counts,
    )


def direct_answer(http: Response) -> dict[str, Any]:
    """The same for a caller who invoked the function itself: the body is an object."""
    return {"status_code": http["statusCode"], "body": json.loads(http["body"])}


def _queued_or_not(result: Queued | Invalid) -> dict[str, object]:
    if isinstance(result, Invalid):
        return {"problems": [it.as_record() for it in result.problems[:_MAX_PROBLEMS]]}
    shown: dict[str, object] = {"request_id": result.request_id, "queued": result.confirmed}
    return shown if result.confirmed else shown | {"idempotency_key": result.key}


def _sent_before(sent: DuplicateRequest) -> Record:
    """The same message again; its id where it is kept no more."""
    if sent.message is not None:
        return sent.message.as_record()
    return {"message_sid": sent.message_sid, "request_id": sent.request_id}


def _not_done(result: ServiceUnavailable, detail: str) -> Response:
    return problem_response(503, detail, headers={"retry-after": str(result.retry_after)})


def _rejected(rejected: Rejected) -> Response:
    explained = explain(rejected.code)
    facts = {"error_code": rejected.code, "request_id": rejected.request_id}
    return problem_response(
        422,
        f"Twilio refused it: {explained.title}. {explained.action}",
        explanation=explained.as_record(),
        headers=None,
        **{name: fact for name, fact in facts.items() if fact is not None},
    )
