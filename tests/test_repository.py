"""The repository's own rules: file names, reasons of exceptions, commands in the docs."""

import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from delivery_cli.main import main as operate
from sandbox.cli import main

PROJECT = Path(__file__).parents[1]
README = (PROJECT / "README.md").read_text("utf-8")

FORBIDDEN_NAMES = {"utils", "helpers", "common", "base", "constants"}


@cache
def tracked_files() -> tuple[Path, ...]:
    """Return the files of the working tree that git tracks."""
    # The files may belong to another user than the one who runs the tests.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listed = subprocess.run(  # noqa: S603 -- a fixed command
        command, cwd=PROJECT, check=True, capture_output=True, text=True
    ).stdout
    files = (PROJECT / name for name in listed.split("\0") if name)
    return tuple(file for file in files if file.is_file())


def name_of(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


def source_of(name: str) -> str:
    return (PROJECT / name).read_text("utf-8")


# --- how the code is written ---------------------------------------------------------------------


def test_no_module_has_a_generic_name() -> None:
    parts = {
        (name_of(path), part)
        for path in tracked_files()
        if path.suffix == ".py"
        for part in path.relative_to(PROJECT).with_suffix("").parts
    }

    assert {name for name, part in parts if part.strip("_").lower() in FORBIDDEN_NAMES} == set()


SUPPRESSION = re.compile(r"noqa|type:\s*ignore", re.IGNORECASE)
EXCEPTION = re.compile(
    r"# noqa: [A-Z]+\d+(, ?[A-Z]+\d+)* -- \S.*|# type: ignore\[[\w-]+(, ?[\w-]+)*\]  # \S.*"
)


def exceptions_without_reason(source: str) -> list[str]:
    """Return the comments that suppress a finding of a tool without giving a reason."""
    if not SUPPRESSION.search(source):  # most files have none
        return []
    comments = (
        token.string
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    )
    return [
        comment
        for comment in comments
        if SUPPRESSION.search(comment) and not EXCEPTION.fullmatch(comment)
    ]


def test_every_suppressed_finding_has_a_reason() -> None:
    found = {
        name_of(path): exceptions
        for path in tracked_files()
        if path.suffix == ".py"
        and (exceptions := exceptions_without_reason(path.read_text("utf-8")))
    }

    assert found == {}


@pytest.mark.parametrize(
    "comment", ["# noqa -- because", "# noqa: S101", "# type: ignore[misc]", "# ruff: noqa"]
)
def test_a_suppression_without_a_reason_is_found(comment: str) -> None:
    assert exceptions_without_reason(f"x = 1  {comment}\n") == [comment]


@pytest.mark.parametrize(
    "comment", ["# noqa: S101, D100 -- because", "# type: ignore[misc]  # because", "# because"]
)
def test_a_suppression_with_a_reason_is_accepted(comment: str) -> None:
    assert exceptions_without_reason(f"x = 1  {comment}\n") == []


# --- registries and local folders ----------------------------------------------------------------

# The patterns are written so that they do not match their own source.
REGISTRY = re.compile(
    r"(?:pypi|pythonhosted|npmjs|rubygems|anaconda)\.(?:org|com|io)"
    r"|artifactor[y]|index-ur[l]|trusted-hos[t]|find-link[s]"
)
LOCAL_FOLDER = re.compile(
    r"(?<![\w./})-])/(?:home|Users|root|work)(?![\w-])|\b[A-Z]:\\+Users\b|(?<!\w)~/\w"
)


def local_names_in(text: str) -> list[str]:
    return REGISTRY.findall(text.lower()) + LOCAL_FOLDER.findall(text)


def test_no_file_names_a_package_registry_or_a_local_folder() -> None:
    found = {
        name_of(path): names
        for path in tracked_files()
        if path.suffix != ".png"
        and (names := local_names_in(path.read_text("utf-8", errors="replace")))
    }

    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        "https://py" + "pi.org/simple",
        "--extra-index" + "-url=https://packages.example.com",
        "cd /ho" + "me/alice/project",
        "C:\\Use" + "rs\\alice",
    ],
)
def test_a_registry_or_a_local_folder_is_found(text: str) -> None:
    assert local_names_in(text)


@pytest.mark.parametrize("text", ["https://example.com/wo" + "rk/home", "./home", "/homepage"])
def test_a_relative_path_or_a_url_is_accepted(text: str) -> None:
    assert not local_names_in(text)


# --- commands in the documentation ---------------------------------------------------------------


def documents() -> str:
    """Return the text of all pages and of the Makefile."""
    pages = [path for path in tracked_files() if path.suffix == ".md"]
    return "\n".join(path.read_text("utf-8") for path in [*pages, PROJECT / "Makefile"])


def commands_in(page: str) -> Iterator[str]:
    """Yield the commands of a page: the lines of its shell blocks and its code spans."""
    blocks = re.findall(r"^ *```(?:console|sh)\n(.*?)^ *```", page, re.DOTALL | re.MULTILINE)
    for block in blocks:
        for line in block.replace("\\\n", " ").splitlines():
            yield from (it.strip() for it in line.strip().removeprefix("$ ").split("&&"))
    yield from re.findall(r"(?<!`)`([^`\n]+)`(?!`)", page)


def test_every_make_target_in_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", source_of("Makefile"), re.MULTILINE))
    named = {
        match[1]
        for command in commands_in(README)
        if (match := re.match(r"make(?: +([a-z0-9-]+))", command))
    }

    assert {"demo", "test"} <= named
    assert named <= targets


def test_every_make_target_is_phony() -> None:
    makefile = source_of("Makefile")
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)

    assert phony
    assert set(phony[1].split()) == targets


def test_every_sandbox_command_in_the_documentation_exists(
    capsys: pytest.CaptureFixture[str],
) -> None:
    named = set(re.findall(r"python3? -m sandbox +([\w-]+)", documents()))

    for command in named:
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0, command
    assert {"demo", "up"} <= named
    assert capsys.readouterr().out


def test_every_delivery_command_and_option_in_the_documentation_exists(
    capsys: pytest.CaptureFixture[str],
) -> None:
    named: dict[str, set[str]] = {}
    for command in commands_in(documents()):
        if match := re.match(r"(?:\.venv/bin/)?delivery +(?!--help)([a-z-]+)\b(.*)", command):
            options = re.findall(r"(?<!\S)--[a-z-]+", match[2])
            named.setdefault(match[1], set()).update(options)

    helped = {}
    for name in named:
        with pytest.raises(SystemExit):
            operate([name, "--help"])
        helped[name] = capsys.readouterr().out

    assert {"send", "show", "doctor", "redrive"} <= named.keys()
    assert {
        (name, option)
        for name, options in named.items()
        for option in options
        if option not in helped[name]
    } == set()


def test_everything_that_the_readme_locates_exists() -> None:
    section = README.partition("### Repository layout\n")[2].partition("\n## ")[0]
    (listing,) = re.findall(r"```\n(.*?)```", section, re.DOTALL)
    named = [line.split()[0] for line in listing.splitlines() if line[:1].strip()]

    assert {"template.yaml", "functions/", "layers/delivery/", "sandbox/", "tests/"} <= set(named)
    assert [name for name in named if not (PROJECT / name).exists()] == []
