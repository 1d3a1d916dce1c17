"""The corrections of event source mappings after the deploy."""

from typing import Any, cast

from sandbox.aws.event_sources import convert_concurrency

type Json = Any


class Functions:
    """Stands in for Lambda: keeps event source mappings by id."""

    def __init__(self, mappings: dict[str, Json]) -> None:
        self.mappings = mappings

    def get_event_source_mapping(self, *, UUID: str) -> Json:  # noqa: N803 -- boto3's names
        return self.mappings[UUID]

    def update_event_source_mapping(self, *, UUID: str, **changes: Json) -> None:  # noqa: N803 -- boto3's names
        self.mappings[UUID] |= changes


def test_a_concurrency_limit_that_is_text_becomes_a_number() -> None:
    functions = Functions(
        {
            "queue": {"ScalingConfig": {"MaximumConcurrency": "5"}, "BatchSize": 1},
            "stream": {"BatchSize": 100},
        }
    )

    convert_concurrency(cast("Any", functions), functions.mappings)

    assert functions.mappings == {
        "queue": {"ScalingConfig": {"MaximumConcurrency": 5}, "BatchSize": 1},
        "stream": {"BatchSize": 100},
    }
