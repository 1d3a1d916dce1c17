"""The release: one version, a wheel that works outside the tree, a source archive of everything."""

import hashlib
import os
import re
import subprocess
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from delivery_cli import __version__
from tests.support.command_line import run

PROJECT = Path(__file__).parents[1]
# The files may belong to another user than the one who runs the tests.
TRUST = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}


def run_program(*command: str | Path, cwd: Path = PROJECT, **environment: str) -> str:
    ran = subprocess.run(  # noqa: S603 -- commands of the tests
        command,
        cwd=cwd,
        env={**os.environ, **TRUST, **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    return ran.stdout


# --- the version ---------------------------------------------------------------------------------


def test_the_command_prints_the_version() -> None:
    assert run("--version").out == f"delivery {__version__}\n"


def test_the_changelog_describes_the_version() -> None:
    changelog = (PROJECT / "CHANGELOG.md").read_text("utf-8")
    headings = re.findall(r"^## \[(.+?)\](?: - (\S+))?$", changelog, re.MULTILINE)

    assert headings[0] == ("Unreleased", "")
    assert headings[1][0] == __version__
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", day) for _, day in headings[1:])


def test_no_other_file_of_the_build_names_the_version() -> None:
    for name in ("pyproject.toml", "Makefile", "template.yaml", "samconfig.toml"):
        assert f'"{__version__}"' not in (PROJECT / name).read_text("utf-8")


# --- the packages --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source archive."""
    folder = tmp_path_factory.mktemp("dist")
    build(folder)
    return folder


def build(folder: Path) -> None:
    run_program("make", "--old-file=.venv/.ready", "package", f"DIST={folder}")


def only(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


def committed_files() -> set[str]:
    return set(run_program("git", "ls-tree", "-r", "-z", "--name-only", "HEAD").split("\0")) - {""}


def dependencies(name: str) -> Iterator[str]:
    """Yield the names of a package's dependencies, and of theirs."""
    for line in distribution(name).requires or []:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement.name
            yield from dependencies(requirement.name)


@pytest.mark.thorough
def test_the_source_archive_has_every_committed_file(packages: Path) -> None:
    with tarfile.open(only(packages, "*.tar.gz")) as archive:
        names = {it.name for it in archive.getmembers() if not it.isdir()}

    prefix = f"delivery-tracking-{__version__}/"
    assert {it.removeprefix(prefix) for it in names} == committed_files()
    assert all(it.startswith(prefix) for it in names)


@pytest.mark.thorough
def test_the_wheel_has_every_module_and_file_of_the_command_and_the_layer(packages: Path) -> None:
    wheel = only(packages, f"delivery_tracking-{__version__}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {it for it in archive.namelist() if ".dist-info/" not in it}

    layer = "layers/delivery/"
    expected = {
        it.removeprefix(layer)
        for it in committed_files()
        if it.startswith((f"{layer}delivery/", "delivery_cli/"))
    }
    assert names == expected


@pytest.mark.thorough
def test_the_same_commit_makes_the_same_packages(packages: Path, tmp_path: Path) -> None:
    build(tmp_path)

    first, second = (
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
        for folder in (packages, tmp_path)
    )
    assert first == second
    assert len(first) == 2


@pytest.fixture(scope="module")
def installed(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel and the packages that it declares, no others."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    wheel = only(packages, "*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)  # noqa: S202 -- the wheel of this test
        (metadata,) = (it for it in archive.namelist() if it.endswith("/METADATA"))
        declared = re.findall(
            r"^Requires-Dist: (.+)$", archive.read(metadata).decode(), re.MULTILINE
        )
    direct = {Requirement(it).name for it in declared}
    for name in {*direct, *(it for each in direct for it in dependencies(each))}:
        package = distribution(name)
        for top in {Path(str(file)).parts[0] for file in package.files or []} - {".."}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(package.locate_file(top))).resolve())
    return folder / "bin/python"


@pytest.mark.thorough
def test_every_module_of_the_command_can_be_imported_outside_the_tree(
    installed: Path, tmp_path: Path
) -> None:
    modules = [
        it.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for it in committed_files()
        if it.startswith("delivery_cli/") and it.endswith(".py")
    ]
    modules.remove("delivery_cli.__main__")
    modules.remove("delivery_cli.commands.report.charts")  # needs the extra `charts`
    code = f"import {', '.join(modules)}; print(delivery_cli.__file__)"

    path = run_program(installed, "-I", "-c", code, cwd=tmp_path)

    assert Path(path.strip()).is_relative_to(installed.parents[1])
    assert not Path(path.strip()).is_relative_to(PROJECT)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("arguments", "printed"),
    [(["send", "--help"], "--media-url"), (["--completion", "bash"], "_shtab_delivery")],
)
def test_the_installed_command_runs_outside_the_tree(
    installed: Path, tmp_path: Path, arguments: list[str], printed: str
) -> None:
    code = "import sys; from delivery_cli.main import main; sys.exit(main())"

    assert printed in run_program(installed, "-I", "-c", code, *arguments, cwd=tmp_path)


# --- the workflow --------------------------------------------------------------------------------

WORKFLOW = yaml.safe_load((PROJECT / ".github/workflows/release.yaml").read_text("utf-8"))


def test_the_release_workflow_runs_all_tests_before_it_attaches_the_packages() -> None:
    (job,) = WORKFLOW["jobs"].values()
    commands = "\n".join(step.get("run", "") for step in job["steps"])

    order = ["make test", "make package", "gh release create"]
    assert sorted(order, key=commands.index) == order
    assert job["permissions"] == {"contents": "write"}


def release_notes(version: str) -> str:
    """Run the workflow's own command."""
    (job,) = WORKFLOW["jobs"].values()
    (step,) = (it for it in job["steps"] if it.get("name") == "Write the release notes")
    return run_program("bash", "-c", step["run"].replace("> notes.md", ""), VERSION=version)


def test_the_release_notes_are_the_section_of_the_version() -> None:
    notes = release_notes(__version__)

    assert notes.strip()
    assert "## [" not in notes
    assert notes.strip() in (PROJECT / "CHANGELOG.md").read_text("utf-8")


def test_a_version_without_a_section_has_no_release_notes() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        release_notes("99.0.0")
