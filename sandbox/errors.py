"""What can go wrong with the sandbox itself.

SandboxError        the message is all that the person at the keyboard needs
"""


class SandboxError(Exception):
    """The sandbox cannot start or go on; says why and what to do."""
