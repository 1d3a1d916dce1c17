"""The responses to the callers of the API. They never hold Twilio's own error text."""

import json
from typing import Any, Final, assert_never

from delivery.domain.records import Record
from delivery.domain.send_requests import RequestState
from delivery.runtime.responses import Response, bad_request, json_response, problem_response
from delivery.twilio.error_codes import explain

from .batch import MAX_BATCH_BYTES
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

# For each message of a batch: a response must fit into the 6 MB that Lambda allows.
_MAX_PROBLEMS: Final = 10


def send_response(result: SendResult) -> Response:  # noqa: PLR0911 -- one for each result
    """Return the response to a request to send."""
    match result:
        case Accepted():
            return json_response(201, result.message.as_record())
        case DuplicateRequest():
            return json_response(200, _duplicate(result))
        case Invalid():
            return bad_request(result.problems)
        case IdempotencyConflict():
            return problem_response(
                409,
                "The idempotency key was used with other content. Use a new key.",
                request_id=result.request_id,
            )
        case Rejected():
            return _rejected(result)
        case Unresolved(state=RequestState.PRESUMED_UNSENT):
            return problem_response(
                409,
                "The request of this key is presumed unsent and is never sent again under the key. "
                "To send it, use a new key.",
                request_id=result.request_id,
                state=str(result.state),
            )
        case Unresolved():
            return json_response(202, {"request_id": result.request_id, "state": str(result.state)})
        case ServiceUnavailable():
            return _service_unavailable(
                result, f"No message was sent: {result.reason}. Retry later."
            )
        case _:
            assert_never(result)


def cancel_response(result: CancelResult) -> Response:
    """Return the response to a request to cancel."""
    match result:
        case Accepted():
            return json_response(200, result.message.as_record())
        case MessageNotFound():
            return problem_response(404, "Message not found at Twilio.")
        case Rejected():
            return _rejected(result)
        case ServiceUnavailable():
            return _service_unavailable(
                result,
                f"The message may not be canceled: {result.reason}. Cancel it again; canceling "
                "twice is safe.",
            )
        case _:
            assert_never(result)


def batch_response(result: Batch | Invalid | ServiceUnavailable) -> Response:
    """Return the response to a batch: 503 if some messages are not confirmed to be queued."""
    if not isinstance(result, Batch):
        return send_response(result)
    answer: dict[str, object] = {
        "results": [_message_result(it) for it in result.results],
        "queued": result.queued,
        "invalid": result.invalid,
        "not_queued": result.not_queued,
    }
    if not result.not_queued:
        return json_response(202, answer)
    return problem_response(
        503,
        'Some messages may not have been queued. Retry each result with `"queued": false` using '
        "its `idempotency_key`, or retry the whole batch if it had an Idempotency-Key.",
        headers={"retry-after": str(RETRY_AFTER_SECONDS)},
        **answer,
    )


def batch_too_large() -> Response:
    """Return the response to a batch over the limit."""
    limit = f"{MAX_BATCH_BYTES // 1024**2} MiB"
    return problem_response(413, f"The batch is larger than {limit}. Split it.")


def route_not_found() -> Response:
    """Return the response to a route that does not exist."""
    return problem_response(
        404,
        "Not found. Available: POST /messages, POST /messages/batch, "
        "POST /messages/{message_sid}/cancel.",
    )


def direct_response(response: Response) -> dict[str, Any]:
    """Return a response as a direct invocation gets it: the body is an object."""
    return {"status_code": response["statusCode"], "body": json.loads(response["body"])}


def failure_of(response: dict[str, Any]) -> str:
    """Return the error text for a direct response that says why nothing was sent."""
    body = response["body"]
    problems = "; ".join(f"{it['field']} {it['problem']}" for it in body.get("problems", []))
    return f"{response['status_code']}: {problems or body['detail']}"


def _message_result(result: Queued | Invalid) -> dict[str, object]:
    if isinstance(result, Invalid):
        return {"problems": [it.as_record() for it in result.problems[:_MAX_PROBLEMS]]}
    shown: dict[str, object] = {"request_id": result.request_id, "queued": result.confirmed}
    return shown if result.confirmed else shown | {"idempotency_key": result.key}


def _duplicate(duplicate: DuplicateRequest) -> Record:
    """Return the message, or its ids if it is no longer kept."""
    if duplicate.message is not None:
        return duplicate.message.as_record()
    return {"message_sid": duplicate.message_sid, "request_id": duplicate.request_id}


def _service_unavailable(result: ServiceUnavailable, detail: str) -> Response:
    return problem_response(503, detail, headers={"retry-after": str(result.retry_after)})


def _rejected(rejected: Rejected) -> Response:
    explained = explain(rejected.code)
    facts: Record = {"error_code": rejected.code, "request_id": rejected.request_id}
    return problem_response(
        422,
        f"Twilio rejected the request: {explained.title}. {explained.action}",
        explanation=explained.as_record(),
        **{name: fact for name, fact in facts.items() if fact is not None},
    )
