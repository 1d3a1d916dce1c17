"""The request that the canary's schedule hands to the sender."""

import json
import re
from typing import Any

from tests.cloudformation import load_template


def canary_request(*, to: str, sender: str, scheduled_time: str) -> Any:
    """As the scheduler makes it from the template, of these parameters."""
    template = load_template()
    text, own = template["Resources"]["CanarySchedule"]["Properties"]["Target"]["Input"]["Fn::Sub"]
    condition, when_service, otherwise = own["Sender"]["Fn::If"]
    assert template["Conditions"][condition] == {
        "Fn::Equals": [
            {"Fn::Select": [0, {"Fn::Split": ["MG", {"Ref": "CanaryFrom"}]}]},
            "",
        ]
    }
    is_service = sender.split("MG", maxsplit=1)[0] == ""
    given = {
        "CanaryTo": to,
        "CanaryFrom": sender,
        "Sender": when_service if is_service else otherwise,
    }
    substituted = re.sub(r"\$\{(\w+)\}", lambda name: given[name[1]], text)
    return json.loads(substituted.replace("<aws.scheduler.scheduled-time>", scheduled_time))
