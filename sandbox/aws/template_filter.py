"""Removes resources from the built template that MiniStack cannot create.

MiniStack rejects alarms on metric math, and extracts no metrics from logs. No resource refers to an
alarm, so the others are not affected.
"""

import re
from typing import Final

# In the YAML that SAM writes, a logical id is indented by two spaces, its resource by more.
_RESOURCE: Final = re.compile(r"^  \w+:\n(?:(?:   .*)?\n)+", re.MULTILINE)


def remove_metric_math_alarms(template: str) -> str:
    """Return the built template without alarms on metric math."""
    return _RESOURCE.sub(lambda found: "" if _is_metric_math(found[0]) else found[0], template)


def _is_metric_math(resource: str) -> bool:
    lines = resource.splitlines()
    return "    Type: AWS::CloudWatch::Alarm" in lines and "      Metrics:" in lines
