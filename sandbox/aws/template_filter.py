"""What the emulator refuses to make, left out of the template before it is deployed.

MiniStack makes no alarm that looks at several metrics; nor has it the metrics, which CloudWatch
takes out of logs. Nothing refers to an alarm, so nothing else is missing then.
"""

import re
from typing import Final

# SAM writes resources so: two spaces, the logical id; all that belongs to it is further in.
_RESOURCE: Final = re.compile(r"^  \w+:\n(?:(?:   .*)?\n)+", re.MULTILINE)


def without_metric_math(template: str) -> str:
    """The built template without alarms on metric math."""
    return _RESOURCE.sub(lambda found: "" if _is_metric_math(found[0]) else found[0], template)


def _is_metric_math(resource: str) -> bool:
    lines = resource.splitlines()
    return "    Type: AWS::CloudWatch::Alarm" in lines and "      Metrics:" in lines
