"""The fakes of the simulation and the sandbox's AWS answer the same requests in the same way."""

import secrets

import pytest

from tests.cloudformation import create_table
from tests.e2e.outside import OutsideProgram
from tests.simulation.contract import differences, recorded_requests

TABLES = ("MessagesTable", "SendRequestsTable")


@pytest.mark.parametrize("seed", [4, 8, 15])
def test_the_sandboxs_dynamodb_answers_as_the_simulations_does(
    program: OutsideProgram, seed: int
) -> None:
    dynamodb = program.client("dynamodb")
    names = {name: f"contract-{name}-{secrets.token_hex(4)}" for name in TABLES}
    for logical_id, name in names.items():
        create_table(dynamodb, logical_id, name)

    found = list(differences(recorded_requests([seed]), dynamodb, names))

    assert not found, "\n".join(found)
