"""The request that the canary's schedule sends."""

import json
import re
from collections.abc import Mapping
from typing import Any

from tests.support.cloudformation import load_template


def canary_request(*, to: str, scheduled_time: str, sender: str = "", service: str = "") -> Any:
    """Return the request that the scheduler builds from the template with these parameters."""
    template = load_template()
    text, own = template["Resources"]["CanarySchedule"]["Properties"]["Target"]["Input"]["Fn::Sub"]
    condition, when_service, otherwise = own["Sender"]["Fn::If"]
    assert template["Conditions"][condition] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "CanaryMessagingServiceSid"}, ""]}]
    }
    given = {"CanaryTo": to, "CanaryFrom": sender, "CanaryMessagingServiceSid": service}
    given["Sender"] = _substituted((when_service if service else otherwise)["Fn::Sub"], given)
    request = _substituted(text, given)
    return json.loads(request.replace("<aws.scheduler.scheduled-time>", scheduled_time))


def _substituted(text: str, given: Mapping[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda name: given[name[1]], text)
