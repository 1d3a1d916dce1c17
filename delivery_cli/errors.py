"""Errors that end a command without a result."""


class CommandError(Exception):
    """The command failed; the message states the problem, `fix` what the operator can do."""

    def __init__(self, problem: str, fix: str = "") -> None:
        super().__init__(problem)
        self.fix = fix


class StackNotFound(CommandError):
    """The stack does not exist, or is not one of this project."""


class StackTooOld(CommandError):
    """The stack lacks something that was added after it was deployed."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"{problem}: it is older than this command.",
            "Deploy the version of the stack that belongs to this command.",
        )


class NoAnswer(CommandError):
    """No answer arrived; the request may have been executed."""
