"""Removes resources from the built template that MiniStack cannot create.

MiniStack rejects alarms on metric math, and extracts no metrics from logs. It does not know saved
queries of Athena and rejects a stack that has one. No resource refers to an alarm or a saved query,
so the others are not affected.
"""

import re
from typing import Final

# In the YAML that SAM writes, a logical id is indented by two spaces, its resource by more.
_RESOURCE: Final = re.compile(r"^  \w+:\n(?:(?:   .*)?\n)+", re.MULTILINE)


def remove_unsupported(template: str) -> str:
    """Return the built template without alarms on metric math and without saved queries."""
    return _RESOURCE.sub(lambda found: "" if _is_unsupported(found[0]) else found[0], template)


def _is_unsupported(resource: str) -> bool:
    lines = resource.splitlines()
    is_metric_math = "    Type: AWS::CloudWatch::Alarm" in lines and "      Metrics:" in lines
    return is_metric_math or "    Type: AWS::Athena::NamedQuery" in lines
