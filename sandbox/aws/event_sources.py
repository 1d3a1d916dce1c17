"""Corrects event source mappings that MiniStack creates differently from AWS."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


def convert_concurrency(functions: "LambdaClient", mapping_ids: Iterable[str]) -> None:
    """Convert the concurrency limit of each event source mapping to a number.

    MiniStack's CloudFormation keeps the value of a parameter as text. Its poller compares the limit
    with a number, fails, and then polls no queue at all.
    """
    for uuid in mapping_ids:
        scaling = functions.get_event_source_mapping(UUID=uuid).get("ScalingConfig", {})
        if "MaximumConcurrency" in scaling:
            limit = int(scaling["MaximumConcurrency"])
            functions.update_event_source_mapping(
                UUID=uuid, ScalingConfig={"MaximumConcurrency": limit}
            )
