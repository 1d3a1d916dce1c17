"""A property-based client, made from openapi.yaml, gets only answers that are described in it."""

from collections.abc import Mapping
from typing import Any, Final

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig

from tests.e2e.external_client import ExternalClient
from tests.support.api_description import api_document, without_additions

# For the time that the test takes. Each example is a request; the client adds requests that cover
# the limits of every parameter and field.
MAX_EXAMPLES: Final = 8

CONFIG: Final = SchemathesisConfig.from_dict(
    {
        "generation": {"deterministic": True, "database": "none"},
        # API Gateway answers 404 to another method, not 405.
        "checks": {"unsupported_method": {"enabled": False}},
        "phases": {"coverage": {"unexpected-methods": []}},
        "operations": [
            # A batch is accepted if it has an invalid message: its result has the problems.
            {
                "include-name": "POST /messages/batch",
                "checks": {"negative_data_rejection": {"enabled": False}},
                # POST /messages covers the limits of the fields of a message.
                "phases": {"coverage": {"enabled": False}},
            },
            # A schema cannot say which characters are invisible, or that one filter is required.
            {
                "include-name": ["POST /messages", "GET /messages"],
                "checks": {"positive_data_acceptance": {"enabled": False}},
            },
        ],
    }
)


def sandbox_document() -> Mapping[str, Any]:
    """The description of the API in the sandbox, which asks for no signature."""
    document: dict[str, Any] = without_additions(api_document())
    del document["security"]
    return document


API: Final = schemathesis.openapi.from_dict(dict(sandbox_document()), config=CONFIG)


@API.parametrize()
@settings(max_examples=MAX_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_to_generated_requests_is_described(
    case: schemathesis.Case[Any], client: ExternalClient
) -> None:
    case.call_and_validate(base_url=client.endpoints["messages_api_url"], timeout=35)
