"""What a status callback costs at AWS: its requests, counted."""

from collections import Counter
from typing import Any
from unittest import mock

import pytest
from botocore.client import BaseClient

from tests.functions.callbacks import StatusCallbackRig, a_callback, a_request


def cost_of(callbacks: StatusCallbackRig, event: dict[str, Any]) -> Counter[str]:
    """Count every request to an AWS service by its operation."""
    requests: Counter[str] = Counter()
    call = BaseClient._make_api_call  # type: ignore[attr-defined]  # noqa: SLF001 -- all clients call it

    def count(client: BaseClient, operation: str, arguments: Any) -> Any:
        requests[operation] += 1
        return call(client, operation, arguments)

    with mock.patch.object(BaseClient, "_make_api_call", count):
        callbacks.call(event)
    return requests


def test_the_first_callback_of_an_environment_also_reads_the_secret(
    callbacks: StatusCallbackRig,
) -> None:
    cost = cost_of(callbacks, a_request(a_callback("queued")))

    assert cost == {"GetSecretValue": 1, "UpdateItem": 1}


@pytest.mark.parametrize(
    ("earlier", "status", "cost"),
    [
        (["queued"], "sent", {"UpdateItem": 1}),
        (["queued", "sent"], "delivered", {"UpdateItem": 1}),
        (["sent"], "sent", {"UpdateItem": 1}),
        (["delivered"], "sent", {"UpdateItem": 2}),
    ],
    ids=["in order", "final", "duplicate", "out of order"],
)
def test_a_callback_costs_one_request_and_two_if_it_is_out_of_order(
    callbacks: StatusCallbackRig, earlier: list[str], status: str, cost: dict[str, int]
) -> None:
    for it in earlier:
        callbacks.call(a_request(a_callback(it)))

    assert cost_of(callbacks, a_request(a_callback(status))) == cost


def test_a_callback_with_a_request_id_costs_a_second_request_if_it_is_the_first(
    callbacks: StatusCallbackRig,
) -> None:
    query = "request_id=rq_" + "a" * 32
    callbacks.call(a_request(a_callback("queued", MessageSid="SM" + "1" * 32)))  # reads the secret

    first = cost_of(callbacks, a_request(a_callback("queued"), raw_query=query))
    second = cost_of(callbacks, a_request(a_callback("sent"), raw_query=query))

    assert (first, second) == ({"UpdateItem": 2}, {"UpdateItem": 1})


def test_an_unsigned_request_costs_no_request(callbacks: StatusCallbackRig) -> None:
    assert cost_of(callbacks, a_request(x_twilio_signature=None)) == {}
