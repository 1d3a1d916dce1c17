"""Texts for people are in plain English: constructions of earlier versions do not come back."""

import ast
import contextlib
import io
import re
import tokenize
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from delivery_cli.main import main
from tests.support.syntax import nodes_of

PROJECT: Final = Path(__file__).parents[1]

REJECTED: Final = {
    "a subject without a name": r"\b(whoever|nobody|somebody|anybody)\b",
    "'tell', for notify, report, return or log": r"\b(told|tells?|telling)\b",
    "'X is no Y', for 'X is not a Y' or 'expected Y'": r"(?<!there )\b(is|are) no (?!longer\b)\w+",
    "'in vain'": r"\bin vain\b",
    "'anew', for again": r"\banew\b",
    "'give up', for expire, stop or dead-letter": r"\bg(ave|ive|ives|iven|iving) up\b",
    "'put right', for fix": r"\bput(s|ting)? (it )?right\b",
    "'as wished'": r"\bas wished\b",
}

type Texts = Iterator[tuple[str, str]]
"""Yields where a text is, and the text."""


def page(name: str) -> Texts:
    """Yields a page without its code blocks and code spans."""
    text = (PROJECT / name).read_text("utf-8")
    without_blocks = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    yield name, re.sub(r"`[^`]*`", "", without_blocks)


def file(name: str) -> Texts:
    """Yields a whole file: in the template also comments, alarms and the dashboard."""
    yield name, (PROJECT / name).read_text("utf-8")


def command_line_help() -> Texts:
    """Yields the help of the command line, and of each of its commands."""
    overview = help_of()
    yield "delivery --help", overview
    commands = re.findall(r"^    ([a-z]+)\b", overview, re.MULTILINE)
    assert {"send", "doctor"} <= set(commands)
    for command in commands:
        yield f"delivery {command} --help", help_of(command)


def help_of(*command: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        main([*command, "--help"])
    return out.getvalue()


def docstrings_and_comments(folder: str) -> Texts:
    """Yields the docstrings of all modules, classes and functions in a folder, and the comments."""
    for path in sorted((PROJECT / folder).rglob("*.py")):
        text = path.read_text("utf-8")
        yield f"{path.relative_to(PROJECT)}: comments", comments_in(text)
        for node in nodes_of(text):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                name = getattr(node, "name", "")
                yield f"{path.relative_to(PROJECT)}:{name}", ast.get_docstring(node) or ""


def comments_in(source: str) -> str:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return " ".join(it.string.lstrip("# ") for it in tokens if it.type == tokenize.COMMENT)


def packages_in(folder: str) -> list[str]:
    """Returns the folders with Python files in a folder."""
    modules = (PROJECT / folder).glob("*/*.py")
    return sorted({path.parent.relative_to(PROJECT).as_posix() for path in modules})


CLEAN_FOLDERS: Final = (
    *("delivery_cli", "sandbox", "simulation", "bench", "examples"),
    *packages_in("functions"),
    *packages_in("layers/delivery/delivery"),
    *packages_in("tests"),
)
"""The folders whose docstrings and comments are checked."""

CHECKED: Final[Mapping[str, Callable[[], Texts]]] = {
    **{
        name: partial(page, name)
        for name in (
            *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"),
            *sorted(
                path.relative_to(PROJECT).as_posix()
                for pattern in ("docs/**/*.md", "[a-z]*/README.md")
                for path in PROJECT.glob(pattern)
            ),
        )
    },
    **{name: partial(file, name) for name in ("template.yaml", "Makefile", "pyproject.toml")},
    "delivery --help": command_line_help,
    **{name: partial(docstrings_and_comments, name) for name in CLEAN_FOLDERS},
}
"""The places that are checked: where a text is added for people, add its place here."""


def rejected_in(text: str) -> list[str]:
    """Returns the rejected constructions of a text."""
    line = " ".join(text.split())
    return [
        match[0]
        for pattern in REJECTED.values()
        for match in re.finditer(pattern, line, re.IGNORECASE)
    ]


@pytest.mark.parametrize("place", CHECKED)
def test_a_text_has_no_rejected_construction(place: str) -> None:
    texts = list(CHECKED[place]())

    assert texts
    assert [(where, found) for where, text in texts for found in rejected_in(text)] == []


@pytest.mark.parametrize(
    "text",
    [
        "Whoever reads this",
        "what people are\ntold",
        "The row is no number",
        "Asked in vain.",
        "write it anew",
        "messages that were given up",
        "Put it right.",
        "0 as wished",
    ],
)
def test_a_rejected_construction_is_found(text: str) -> None:
    assert rejected_in(text)


def test_a_comment_is_found_also_where_it_is_wrapped() -> None:
    assert rejected_in(comments_in('x = "#"  # The row is\n# no number.\n'))
    assert not rejected_in(comments_in('x = "# told"\n'))


@pytest.mark.parametrize(
    "text", ["There is no secret.", "It is no longer kept.", "The message is not a number."]
)
def test_plain_english_is_accepted(text: str) -> None:
    assert rejected_in(text) == []
