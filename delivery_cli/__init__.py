"""The operators' command line: `delivery`, or `python -m delivery_cli`.

`main` parses the arguments and runs a command of `commands/` against a `target` (a stack in AWS or
in the sandbox); the command writes to an `output`.

Commands use the stack's public interfaces: its HTTP API, its queues and CloudFormation (`erase`
also the tables). They can do what the operator's own AWS permissions allow.
"""

__version__ = "1.0.0"
"""The version of the whole project. `delivery --version`, the package, and the release archive take
it from here; CHANGELOG.md describes it.
"""
