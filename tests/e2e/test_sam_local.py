"""The environments of the deployed functions for `sam local`."""

from sandbox.aws.sam_local import function_environments
from sandbox.lifecycle import Sandbox
from tests.support.cloudformation import load_template


def test_sam_local_gets_the_whole_environment_of_every_function(sandbox: Sandbox) -> None:
    endpoints = sandbox.endpoints

    variables = function_environments(
        sandbox.account.functions,
        sandbox.stack.resources,
        aws_endpoint_url=endpoints.aws_endpoint_url,
    )

    functions = {
        name
        for name, resource in load_template()["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function" and name in sandbox.stack.resources
    }
    assert set(variables) == functions
    inside = "http://host.docker.internal:"
    assert all(it["AWS_ENDPOINT_URL"].startswith(inside) for it in variables.values())
    sender = variables["SendMessageFunction"]
    assert sender["MESSAGES_TABLE"] == endpoints.messages_table
    assert sender["TWILIO_API_BASE_URL"].startswith(inside)
    # Twilio calls the one from outside of the container, and signs the other.
    assert sender["STATUS_CALLBACK_URL"] == endpoints.status_callback_url
    assert endpoints.status_callback_url.startswith(
        variables["StatusCallbackFunction"]["PUBLIC_BASE_URL"]
    )
