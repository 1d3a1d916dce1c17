"""The request that the canary's schedule sends."""

import json
from typing import Any

from tests.support.cloudformation import load_template
from tests.template.resolving import resolved


def canary_request(*, to: str, scheduled_time: str, sender: str = "", service: str = "") -> Any:
    """Return the request that the scheduler builds from the template with these parameters."""
    template = load_template()
    given = {"CanaryTo": to, "CanaryFrom": sender, "CanaryMessagingServiceSid": service}
    target = template["Resources"]["CanarySchedule"]["Properties"]["Target"]
    request = resolved(target["Input"], template, given)
    return json.loads(request.replace("<aws.scheduler.scheduled-time>", scheduled_time))
