"""Texts for people are in plain English: constructions of earlier versions do not come back."""

import contextlib
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from delivery_cli.main import main

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

FOLDERS: Final = (
    *("functions", "layers/delivery/delivery", "delivery_cli", "sandbox"),
    *("simulation", "bench", "examples", "tests"),
)
"""The folders whose docstrings and comments are checked."""

type Texts = Iterator[tuple[str, str]]
"""Yields where a text is, and the text."""


def page(path: Path) -> tuple[str, str]:
    """Returns a page without its code blocks and code spans."""
    text = path.read_text("utf-8")
    without_blocks = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    return path.name, re.sub(r"`[^`]*`", "", without_blocks)


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


def docstrings_and_comments(path: Path) -> Texts:
    """Yields the docstrings of a module and of all that it defines, and its comments."""
    where, tokens = path.relative_to(PROJECT), tokens_of(path.read_text("utf-8"))
    yield f"{where}: comments", comments_in(tokens)
    for token in docstrings_in(tokens):
        yield f"{where}:{token.start[0]}", token.string


def tokens_of(source: str) -> list[tokenize.TokenInfo]:
    return list(tokenize.generate_tokens(io.StringIO(source).readline))


def comments_in(tokens: list[tokenize.TokenInfo]) -> str:
    return " ".join(it.string.lstrip("# ") for it in tokens if it.type == tokenize.COMMENT)


def docstrings_in(tokens: list[tokenize.TokenInfo]) -> Iterator[tokenize.TokenInfo]:
    """Yields the strings that begin a line of code, so also those below attributes."""
    begins = True
    for token in tokens:
        if begins and token.type == tokenize.STRING:
            yield token
        if token.type not in {tokenize.NL, tokenize.COMMENT}:
            begins = token.type in {tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}


def all_texts() -> Texts:
    """Yields every text that is checked: where a text is added for people, add its place here."""
    for pattern in ("*.md", "docs/**/*.md", "[a-z]*/README.md"):
        for path in PROJECT.glob(pattern):
            yield page(path)
    for name in ("template.yaml", "openapi.yaml", "Makefile", "pyproject.toml"):
        yield name, (PROJECT / name).read_text("utf-8")
    yield from command_line_help()
    for folder in FOLDERS:
        for path in (PROJECT / folder).rglob("*.py"):
            yield from docstrings_and_comments(path)


def rejected_in(text: str) -> list[str]:
    """Returns the rejected constructions of a text."""
    line = " ".join(text.split())
    return [
        match[0]
        for pattern in REJECTED.values()
        for match in re.finditer(pattern, line, re.IGNORECASE)
    ]


def test_no_text_has_a_rejected_construction() -> None:
    texts = list(all_texts())

    assert len(texts) > 1000
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
    assert rejected_in(comments_in(tokens_of('x = "#"  # The row is\n# no number.\n')))
    assert not rejected_in(comments_in(tokens_of('x = "# told"\n')))


def test_a_docstring_is_found_wherever_it_stands() -> None:
    source = '"""1"""\nx = "no"\n"""2"""\nclass A:\n    # why\n    """3"""\n    b("no")\n'

    assert [it.string for it in docstrings_in(tokens_of(source))] == [
        '"""1"""',
        '"""2"""',
        '"""3"""',
    ]


@pytest.mark.parametrize(
    "text", ["There is no secret.", "It is no longer kept.", "The message is not a number."]
)
def test_plain_english_is_accepted(text: str) -> None:
    assert rejected_in(text) == []
