"""What can go wrong before there is a result.

CommandError        the message says what is wrong, `fix` what the operator can do about it
├── StackNotFound   there is no such stack there
├── StackTooOld     the stack lacks something that this command needs
└── NoAnswer        the request left, and whether it was done is not known
"""


class CommandError(Exception):
    """The command cannot be done; whoever typed it can put it right."""

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(what)
        self.fix = fix


class StackNotFound(CommandError):
    """There is no stack of that name, or it is not one of this project."""


class StackTooOld(CommandError):
    """The stack lacks something that has come since it was deployed."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}: it is older than this command.",
            "Deploy the version of the stack that this command came with.",
        )


class NoAnswer(CommandError):
    """No answer came, so the request may have been done, or not."""
