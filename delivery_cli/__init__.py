"""The operators' command line: `delivery`, or `python -m delivery_cli`.

`arguments` says what may be typed, `place` where the stack is, and `command` leads to what does it:
`sending`, `campaign` (send --csv), `showing` (show, cancel), `listing` (find, failures, summary),
`watching`, `redriving`, `erasing` and `doctor`, each on a `screen`.

It works on what the stack promises to the outside, its HTTP API, its queues and what CloudFormation
says of it, so that it can do no more than the operator's own permissions.
"""
