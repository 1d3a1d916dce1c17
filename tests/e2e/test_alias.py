"""Everything runs the published version of each function, also while an update is going on."""

from collections.abc import Callable, Iterator

import pytest

from sandbox.lifecycle import Sandbox
from tests.e2e.external_client import SENDER, ExternalClient, Inbox

LOST_FINAL_CALLBACK = "+15555550103"
UNIQUE_CODE = "30010"


@pytest.fixture
def half_updated(client: ExternalClient, sandbox: Sandbox) -> Iterator[None]:
    """The unpublished code of no function can start, as between two steps of an update."""
    functions = client.aws("lambda")
    template = sandbox.account.processed_template()
    handlers = {}
    for name in sandbox.stack.ids_of_type("AWS::Lambda::Function", template):
        handlers[name] = functions.get_function_configuration(FunctionName=name)["Handler"]
        functions.update_function_configuration(FunctionName=name, Handler="missing.handler")
    yield
    for name, handler in handlers.items():
        functions.update_function_configuration(FunctionName=name, Handler=handler)


@pytest.mark.usefixtures("half_updated")
def test_an_update_that_is_not_finished_reaches_no_message(
    client: ExternalClient, inbox: Inbox, sandbox: Sandbox, no_open_incident: Callable[[str], None]
) -> None:
    no_open_incident(UNIQUE_CODE)
    before = dict(sandbox.schedule.failures)
    failed = client.send_accepted(f"+155555{UNIQUE_CODE}")
    reconciled = client.send_accepted(LOST_FINAL_CALLBACK)
    client.enqueue({"to": "+15551234567", "from": SENDER, "body": "x", "reference": "update-1"})

    (queued,) = client.wait_for_items(
        lambda it: it.get("reference") == "update-1" and it["outcome"] == "delivered",
        "The message from the queue",
    )
    client.wait_for_message(reconciled, lambda it: it["outcome"] == "delivered", "reconciled")
    client.wait_for_message(failed, lambda it: it["outcome"] == "failed", "failed")
    inbox.wait_for(failed)

    assert client.message(queued["message_sid"])["outcome"] == "delivered"
    assert sandbox.schedule.failures == before
