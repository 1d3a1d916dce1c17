"""A change of one code fragment, found by its tokens instead of by its place.

A mutant must survive work on the code that it changes. So an edit names a folder instead of a
module, and its fragment matches whatever the line breaks, the indentation, the comments between
tokens and the trailing commas are. What remains to be repaired after a refactoring are fragments
whose own tokens changed; `tests/simulation/test_mutants.py` names them within a second.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from textwrap import dedent, indent
from typing import Final

from simulation.deployment import PROJECT

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|\w+|[^\w\s]')
_GAP: Final = r"(?:\s|#[^\n]*\n)"
_CLOSING: Final = frozenset(")]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Replaces `old`, which is in one place of all Python files below `folder`, by `new`."""

    folder: str
    old: str
    new: str

    @cache  # noqa: B019 -- the mutants live as long as the process
    def path(self) -> Path:
        """Return the file that holds the fragment.

        Raises:
            ValueError: no file holds it, or it is in several places.
        """
        pattern = _pattern(self.old)
        found = [
            path
            for path, source in _sources(PROJECT / self.folder).items()
            for _ in pattern.finditer(source)
        ]
        if len(found) != 1:
            places = ", ".join(str(path.relative_to(PROJECT)) for path in found) or "no file"
            raise ValueError(f"{self.folder}: expected one place, found {places}: {self.old}")
        return found[0]

    def apply(self, source: str) -> str:
        """Return the source with the fragment replaced."""
        return _pattern(self.old).sub(lambda found: self._new_at(source, found.start()), source)

    def _new_at(self, source: str, start: int) -> str:
        """Return the new code with the indentation of the line that it begins in."""
        line = source[source.rfind("\n", 0, start) + 1 : start]
        margin = line[: len(line) - len(line.lstrip())]
        return indent(dedent(self.new).strip("\n"), margin).removeprefix(margin)


@cache
def _pattern(fragment: str) -> re.Pattern[str]:
    """Return the pattern of the fragment's tokens, whatever stands between them."""
    tokens = _TOKEN.findall(fragment)
    parts: list[str] = []
    for before, token in zip(("", *tokens), tokens, strict=False):
        gap = f"{_GAP}+" if _is_word(before) and _is_word(token) else f"{_GAP}*"
        optional_comma = f",?{_GAP}*" if token in _CLOSING and before != "," else ""
        parts += [gap if before else "", optional_comma, re.escape(token)]
    start = r"(?<!\w)" if _is_word(tokens[0]) else ""
    end = r"(?!\w)" if _is_word(tokens[-1]) else ""
    return re.compile(start + "".join(parts) + end)


def _is_word(token: str) -> bool:
    return token[:1].isalnum() or token[:1] == "_"


@cache
def _sources(folder: Path) -> Mapping[Path, str]:
    return {path: path.read_text("utf-8") for path in sorted(folder.rglob("*.py"))}
