"""Errors of the sandbox itself."""


class SandboxError(Exception):
    """The sandbox cannot start or continue; the message says why and how to fix it."""
