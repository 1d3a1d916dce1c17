"""The repository keeps its own rules: who imports whom, what it may name, what its README says."""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from delivery_cli.main import main as operate
from sandbox.cli import main

PROJECT = Path(__file__).parents[1]
README = (PROJECT / "README.md").read_text("utf-8")
LAYER = "layers/delivery/delivery"

# What a module may import beside the standard library: a package with all that is in it.
LAYER_MAY_IMPORT = {
    **{it: set[str]() for it in ("__init__", "domain", "runtime", "storage", "text", "twilio")},
    "runtime.responses": set[str](),
    "runtime.aws": {"botocore"},
    "runtime.aws_errors": {"botocore"},
    "text.html": set[str](),
    "domain.messages": set[str](),
    "twilio.error_codes": {"delivery.domain.messages"},
    "runtime.http_event": set[str](),
    "twilio.callback": {"delivery.domain.messages"},
    "twilio.credentials": {"botocore"},
    "storage.callback_queue": {"delivery.domain.messages", "delivery.runtime.aws_errors"},
    "domain.send_requests": {"delivery.domain.messages"},
    "storage.table": {"delivery.runtime.aws_errors"},
    "storage.cursor": {"delivery.domain.messages"},
    "text.identifiers": set[str](),
    "text.formatting": {"delivery.twilio.error_codes", "delivery.domain.messages"},
    "storage.messages": {
        "delivery.domain.messages",
        "delivery.storage.message_lists",
        "delivery.storage.table",
        "delivery.storage.cursor",
    },
    "storage.message_lists": {
        "delivery.domain.messages",
        "delivery.storage.table",
        "delivery.storage.cursor",
    },
    "storage.send_requests": {"delivery.domain.send_requests", "delivery.storage.table"},
    "runtime.deadline": {"aws_lambda_powertools"},
    "twilio.client": {
        "delivery.twilio.credentials",
        "delivery.domain.messages",
        "delivery.runtime.deadline",
        "requests",
        "urllib3",
    },
    "metrics": {
        "delivery.twilio.error_codes",
        "delivery.domain.messages",
        "delivery.storage.messages",
        "aws_lambda_powertools",
    },
}
FUNCTIONS_MAY_IMPORT = {"delivery", "boto3", "botocore", "requests", "aws_lambda_powertools", "."}
SANDBOX_MAY_IMPORT = {"sandbox", "delivery", "boto3", "botocore", "rich"}
COMMAND_LINE_MAY_IMPORT = {
    "delivery_cli",
    "delivery",
    "boto3",
    "botocore",
    "requests",
    "rich",
    "urllib3",
}

FORBIDDEN_NAMES = {"utils", "helpers", "common", "base", "constants"}


@cache
def tracked_files() -> tuple[Path, ...]:
    """What git knows, as far as it is there; what else lies about is nobody's promise."""
    # Whoever checked the files out need not be who runs the tests.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listed = subprocess.run(  # noqa: S603 -- its own words only
        command, cwd=PROJECT, check=True, capture_output=True, text=True
    ).stdout
    files = (PROJECT / name for name in listed.split("\0") if name)
    return tuple(file for file in files if file.is_file())


def modules_in(*folders: str) -> list[Path]:
    modules = [path for folder in folders for path in sorted((PROJECT / folder).rglob("*.py"))]
    assert modules
    return modules


def name_of(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


OURS = [name_of(path) for path in modules_in("functions", LAYER, "sandbox", "delivery_cli")]


def layer_module(path: Path) -> str:
    """The dotted name of a module of the layer, without the layer's own."""
    parts = path.relative_to(PROJECT / LAYER).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


def source_of(name: str) -> str:
    return (PROJECT / name).read_text("utf-8")


# --- who imports whom ----------------------------------------------------------------------------


def imports(source: str, *, for_types: bool = False) -> Iterator[str]:
    """What a module imports by its dotted name, `.` before it for each folder up.

    What only the type checker sees is left out, or alone shown.
    """
    tree = ast.parse(source)
    only_for_types = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for statement in block.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if (node in only_for_types) is not for_types:
            continue
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                start = "." * level + (module or "")
                # `from delivery.domain import messages as message` names a module, too.
                yield from (f"{start}.{alias.name}" for alias in names)


def is_allowed(imported: str, allowed: set[str]) -> bool:
    if imported.startswith(".."):
        return False
    if imported.startswith("."):
        return "." in allowed
    top = imported.partition(".")[0]
    return top in sys.stdlib_module_names or any(
        f"{imported}.".startswith(f"{package}.") for package in allowed
    )


def wrong_imports(source: str, allowed: set[str]) -> set[str]:
    """The type checker alone may see boto3's stubs, which exist on no Lambda."""
    return {
        imported
        for for_types in (False, True)
        for imported in imports(source, for_types=for_types)
        if not is_allowed(imported, allowed)
        and not (for_types and imported.startswith("mypy_boto3_"))
    }


def test_every_module_of_the_layer_has_its_rule() -> None:
    assert {layer_module(path) for path in modules_in(LAYER)} == set(LAYER_MAY_IMPORT)


@pytest.mark.parametrize("module", sorted(LAYER_MAY_IMPORT))
def test_a_module_of_the_layer_imports_only_what_its_task_needs(module: str) -> None:
    (path,) = (it for it in modules_in(LAYER) if layer_module(it) == module)

    assert wrong_imports(path.read_text("utf-8"), LAYER_MAY_IMPORT[module]) == set()


@pytest.mark.parametrize("name", [it for it in OURS if it.startswith("functions/")])
def test_a_function_imports_the_layer_and_its_own_folder_but_no_other_function(name: str) -> None:
    assert wrong_imports(source_of(name), FUNCTIONS_MAY_IMPORT) == set()


@pytest.mark.parametrize("name", [it for it in OURS if it.startswith("sandbox/")])
def test_the_sandbox_imports_itself_and_the_layer_but_no_function_and_no_test(name: str) -> None:
    assert wrong_imports(source_of(name), SANDBOX_MAY_IMPORT) == set()


@pytest.mark.parametrize("name", [it for it in OURS if it.startswith("delivery_cli/")])
def test_the_command_line_imports_itself_and_the_layer_alone(name: str) -> None:
    assert wrong_imports(source_of(name), COMMAND_LINE_MAY_IMPORT) == set()


def test_what_one_function_alone_needs_lies_in_its_folder() -> None:
    users: dict[str, set[str]] = {module: set() for module in LAYER_MAY_IMPORT}
    for name in OURS:
        user = re.sub(r"^(functions/\w+|sandbox|delivery_cli)/.*", r"\1", name)
        for imported in imports(source_of(name)):
            if (module := imported.removeprefix("delivery.")) in users:
                users[module].add(user)
    alone = {
        module
        for module, its_users in users.items()
        if len(its_users) == 1 and next(iter(its_users)).startswith("functions/")
    }

    assert alone == set()


def test_what_calls_itself_pure_knows_no_aws_and_no_http() -> None:
    pure = [
        name
        for name in OURS
        if re.search(
            r"^Pure[.:]", ast.get_docstring(ast.parse(source_of(name))) or "", re.MULTILINE
        )
    ]
    impure = {"boto3", "botocore", "requests", "urllib3", "aws_lambda_powertools", "socket"}

    assert pure
    assert {
        (name, imported)
        for name in pure
        for imported in imports(source_of(name))
        if imported.partition(".")[0] in impure
    } == set()


@pytest.mark.parametrize(
    ("source", "allowed"),
    [
        ("import boto3", set()),
        ("from botocore.config import Config", set()),
        ("def f():\n    import requests", set()),
        ("from delivery.storage import messages as store", {"delivery.domain.messages"}),
        ("from delivery.message_of import it", {"delivery.domain.messages"}),
        ("from functions.send_message import app", FUNCTIONS_MAY_IMPORT),
        ("import send_message.app", FUNCTIONS_MAY_IMPORT),
        ("from ..send_message import answers", FUNCTIONS_MAY_IMPORT),
        ("from . import it", {"delivery.domain.messages"}),
        ("from mypy_boto3_dynamodb import DynamoDBClient", {"boto3"}),
        (
            "if TYPE_CHECKING:\n    from delivery.storage.messages import MessageStore",
            {"delivery.domain.messages"},
        ),
        ("from tests import builders", SANDBOX_MAY_IMPORT),
        ("from sandbox.console import Console", COMMAND_LINE_MAY_IMPORT),
        ("import functions.send_message.app", COMMAND_LINE_MAY_IMPORT),
    ],
)
def test_an_import_in_the_wrong_direction_is_found(source: str, allowed: set[str]) -> None:
    assert wrong_imports(source, allowed)


@pytest.mark.parametrize(
    ("source", "allowed"),
    [
        ("import json\nfrom urllib.parse import quote", set()),
        ("from delivery.domain.messages import Message", {"delivery.domain.messages"}),
        ("from delivery.domain import messages as message", {"delivery.domain.messages"}),
        ("from .notice import compose", FUNCTIONS_MAY_IMPORT),
        ("if TYPE_CHECKING:\n    from mypy_boto3_dynamodb import DynamoDBClient", set()),
    ],
)
def test_an_import_in_the_right_direction_is_accepted(source: str, allowed: set[str]) -> None:
    assert not wrong_imports(source, allowed)


# --- how the code is written ---------------------------------------------------------------------


@pytest.mark.parametrize("name", OURS)
def test_nothing_is_printed_beside_the_logs_and_the_console(name: str) -> None:
    printing = [
        node.lineno
        for node in ast.walk(ast.parse(source_of(name)))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"print", "builtins.print"}
    ]

    assert printing == []


def test_every_module_is_named_after_what_is_in_it() -> None:
    parts = {
        (name_of(path), part)
        for path in tracked_files()
        if path.suffix == ".py"
        for part in path.relative_to(PROJECT).with_suffix("").parts
    }

    assert {name for name, part in parts if part.strip("_").lower() in FORBIDDEN_NAMES} == set()


EXCEPTION = re.compile(
    r"# noqa: [A-Z]+\d+(, ?[A-Z]+\d+)* -- \S.*|# type: ignore\[[\w-]+(, ?[\w-]+)*\]  # \S.*"
)


def exceptions_without_reason(source: str) -> list[str]:
    """The comments that silence a tool and do not say why."""
    comments = (
        token.string
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    )
    return [
        comment
        for comment in comments
        if re.search(r"noqa|type:\s*ignore", comment, re.IGNORECASE)
        and not EXCEPTION.fullmatch(comment)
    ]


def test_every_exception_from_a_rule_has_its_reason() -> None:
    found = {
        name_of(path): exceptions
        for path in tracked_files()
        if path.suffix == ".py"
        and (exceptions := exceptions_without_reason(path.read_text("utf-8")))
    }

    assert found == {}


@pytest.mark.parametrize(
    "comment",
    [
        "# noqa",
        "# noqa: S101",
        "# noqa: S101 --",
        "# noqa -- because",
        "# type: ignore",
        "# type: ignore[misc]",
        "# type: ignore  # because",
        "# ruff: noqa",
    ],
)
def test_an_exception_without_a_reason_is_found(comment: str) -> None:
    assert exceptions_without_reason(f"x = 1  {comment}\n") == [comment]


@pytest.mark.parametrize(
    "comment", ["# noqa: S101, D100 -- because", "# type: ignore[misc]  # because", "# because"]
)
def test_an_exception_with_a_reason_is_accepted(comment: str) -> None:
    assert exceptions_without_reason(f"x = 1  {comment}\n") == []


# --- what no file may name -----------------------------------------------------------------------

# Written so that they do not fit themselves.
REGISTRY = re.compile(
    r"(?:pypi|pythonhosted|npmjs|rubygems|anaconda)\.(?:org|com|io)"
    r"|artifactor[y]|index-ur[l]|trusted-hos[t]|find-link[s]",
    re.IGNORECASE,
)
SOMEBODYS_FOLDER = re.compile(
    r"(?<![\w./})-])/(?:home|Users|root|work)(?![\w-])|\b[A-Z]:\\+Users\b|(?<!\w)~/\w"
)


def named_in(text: str) -> list[str]:
    return [
        match[0] for pattern in (REGISTRY, SOMEBODYS_FOLDER) for match in pattern.finditer(text)
    ]


def test_no_file_names_a_package_registry_or_a_folder_of_one_machine() -> None:
    found = {
        name_of(path): names
        for path in tracked_files()
        if path.suffix != ".png"  # what a picture's bytes look like says nothing
        and (names := named_in(path.read_text("utf-8", errors="replace")))
    }

    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        "https://py" + "pi.org/simple",
        "files.python" + "hosted.org",
        "--extra-index" + "-url=https://packages.example.com",
        "cd /ho" + "me/somebody/project",
        '"/wo' + 'rk/main"',
        "/Use" + "rs/somebody",
        "C:\\Use" + "rs\\somebody",
    ],
)
def test_a_name_of_one_machine_is_found(text: str) -> None:
    assert named_in(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com/wo" + "rk/home",
        "./home",
        "/homepage",
        "$ROOT/wo" + "rk",
        "the /twilio/status",
    ],
)
def test_a_path_inside_of_something_is_nobodys_folder(text: str) -> None:
    assert not named_in(text)


# --- what the README says ------------------------------------------------------------------------


def documents() -> str:
    """All that tells people what to type: the pages and the Makefile."""
    pages = [path for path in tracked_files() if path.suffix == ".md"]
    return "\n".join(path.read_text("utf-8") for path in [*pages, PROJECT / "Makefile"])


def commands_in(page: str) -> Iterator[str]:
    """What a page tells people to type, in blocks for a shell and between backticks."""
    blocks = re.findall(r"^ *```(?:console|sh)\n(.*?)^ *```", page, re.DOTALL | re.MULTILINE)
    for block in blocks:
        for line in block.replace("\\\n", " ").splitlines():
            yield from (it.strip() for it in line.strip().removeprefix("$ ").split("&&"))
    yield from re.findall(r"(?<!`)`([^`\n]+)`(?!`)", page)


def test_every_make_target_that_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", source_of("Makefile"), re.MULTILINE))
    named = {
        match[1]
        for command in commands_in(README)
        if (match := re.match(r"make(?: +([a-z0-9-]+))", command))
    }

    assert {"demo", "test"} <= named
    assert named <= targets


def test_a_make_target_runs_even_if_a_file_has_its_name() -> None:
    makefile = source_of("Makefile")
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)

    assert phony
    assert set(phony[1].split()) == targets


def test_every_sandbox_command_that_is_named_exists(capsys: pytest.CaptureFixture[str]) -> None:
    named = set(re.findall(r"python3? -m sandbox +([\w-]+)", documents()))

    for command in named:
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0, command
    assert {"demo", "up"} <= named
    assert capsys.readouterr().out


def test_every_command_of_the_operators_that_is_named_exists_with_its_options(
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


def test_a_sandbox_command_that_does_not_exist_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["down", "--help"])

    assert ended.value.code == 2
    assert "down" in capsys.readouterr().err


def test_everything_that_the_readme_locates_exists() -> None:
    section = README.partition("### Repository layout\n")[2].partition("\n## ")[0]
    (listing,) = re.findall(r"```\n(.*?)```", section, re.DOTALL)
    named = [line.split()[0] for line in listing.splitlines() if line[:1].strip()]

    assert {"template.yaml", "functions/", "layers/delivery/", "sandbox/", "tests/"} <= set(named)
    assert [name for name in named if not (PROJECT / name).exists()] == []
