"""The build recipes work with the tools of Linux and macOS, and with any settings of pip."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.template.deployment import FUNCTIONS, PROJECT

FUNCTIONS_FOLDER = PROJECT / "functions"
LAYER_FOLDER = PROJECT / "layers" / "delivery"

# With BSD's cp, `cp -R folder/ target` copies the contents of the folder, not the folder.
# https://man.freebsd.org/cgi/man.cgi?cp
BSD_CP = """#!/bin/sh
for argument; do
  shift
  case $argument in */) [ "$#" -gt 0 ] && argument=$argument. ;; esac
  set -- "$@" "$argument"
done
exec {cp} "$@"
"""
MAKE = shutil.which("make") or "make"
PIP_SETTINGS = {"PIP_USER": "1", "PIP_TARGET": "elsewhere", "PIP_REQUIRE_VIRTUALENV": "1"}

each_cp = pytest.mark.parametrize("cp", ["GNU", "BSD"])


def build(
    target: str, *, folder: Path, artifacts: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a build recipe as SAM does: in a copy of the folder, with a target and a place."""
    artifacts.mkdir()
    return subprocess.run(  # noqa: S603 -- no shell, and no input from outside
        [MAKE, f"build-{target}", f"ARTIFACTS_DIR={artifacts}"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def tools(folder: Path, cp: str) -> dict[str, str]:
    """Return an environment with this Python, and with the `cp` of one of the systems."""
    path = [str(Path(sys.executable).parent), os.environ["PATH"]]
    if cp == "BSD":
        stand_in = folder / "bin" / "cp"
        stand_in.parent.mkdir()
        stand_in.write_text(BSD_CP.format(cp=shutil.which("cp")))
        stand_in.chmod(0o755)
        path.insert(0, str(stand_in.parent))
    return {"PATH": os.pathsep.join(path), "HOME": str(folder)}


def copy_of(folder: Path, tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__")
    return shutil.copytree(folder, tmp_path / "source", ignore=ignored)


@each_cp
def test_a_built_function_has_all_function_folders_with_bytecode(cp: str, tmp_path: Path) -> None:
    source, artifacts = copy_of(FUNCTIONS_FOLDER, tmp_path), tmp_path / "artifacts"

    built = build(
        "SendMessageFunction",
        folder=source,
        artifacts=artifacts,
        environment=tools(tmp_path, cp),
    )

    assert built.returncode == 0, built.stderr
    assert sorted(it.name for it in artifacts.iterdir()) == FUNCTIONS
    for function in FUNCTIONS:
        assert (artifacts / function / "app.py").is_file()
        assert list((artifacts / function / "__pycache__").glob("app.cpython-313.pyc"))
    assert (artifacts / "dashboard_widget" / "widget.css").is_file()


@pytest.mark.thorough
def test_two_builds_of_the_same_code_are_equal(tmp_path: Path) -> None:
    # Otherwise each deployment would publish a version of every function.
    source, environment = copy_of(FUNCTIONS_FOLDER, tmp_path), tools(tmp_path, "GNU")
    places = [tmp_path / "one", tmp_path / "two"]

    for place in places:
        build("SendMessageFunction", folder=source, artifacts=place, environment=environment)

    one, two = (
        {it.relative_to(place): it.read_bytes() for it in place.rglob("*") if it.is_file()}
        for place in places
    )
    assert one
    assert one == two


def test_the_build_of_a_function_without_its_handler_fails(tmp_path: Path) -> None:
    source = copy_of(FUNCTIONS_FOLDER, tmp_path)
    (source / "send_message" / "app.py").rename(source / "send_message" / "handler.py")

    built = build(
        "SendMessageFunction",
        folder=source,
        artifacts=tmp_path / "artifacts",
        environment=tools(tmp_path, "GNU"),
    )

    assert built.returncode != 0
    assert "send_message/app.py" in built.stderr


@pytest.mark.thorough
@each_cp
def test_the_layer_is_built_without_the_pip_settings_of_the_user(cp: str, tmp_path: Path) -> None:
    source, artifacts = copy_of(LAYER_FOLDER, tmp_path), tmp_path / "artifacts"
    (source / "requirements.txt").write_text(f"{a_wheel(source)}\n")
    settings = tmp_path / ".config" / "pip" / "pip.conf"
    settings.parent.mkdir(parents=True)
    settings.write_text("[install]\nuser = true\n")

    built = build(
        "DeliveryLayer",
        folder=source,
        artifacts=artifacts,
        environment=tools(tmp_path, cp) | PIP_SETTINGS,
    )

    assert built.returncode == 0, built.stderr
    packages = artifacts / "python"
    assert (packages / "tiny.py").is_file()
    assert (packages / "delivery" / "domain" / "statuses.py").is_file()
    assert (packages / "requirements.txt").is_file()
    assert list(packages.glob("__pycache__/tiny.cpython-313.pyc"))
    assert list(packages.glob("delivery/domain/__pycache__/statuses.cpython-313.pyc"))


@pytest.mark.thorough
@pytest.mark.parametrize("setting", ["PIP_INDEX_URL", "pip.conf"])
def test_the_layer_comes_from_the_package_index_of_the_user(setting: str, tmp_path: Path) -> None:
    index = tmp_path / "index"
    project = index / "tiny"
    project.mkdir(parents=True)
    wheel = a_wheel(project)
    (project / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
    source = copy_of(LAYER_FOLDER, tmp_path)
    (source / "requirements.txt").write_text("tiny==1.0\n")
    environment = tools(tmp_path, "GNU")
    if setting == "pip.conf":
        settings = tmp_path / ".config" / "pip" / "pip.conf"
        settings.parent.mkdir(parents=True)
        settings.write_text(f"[global]\nindex_url = {index.as_uri()}\n")
    else:
        environment[setting] = index.as_uri()

    built = build(
        "DeliveryLayer",
        folder=source,
        artifacts=tmp_path / "artifacts",
        environment=environment,
    )

    assert built.returncode == 0, built.stderr
    assert (tmp_path / "artifacts" / "python" / "tiny.py").is_file()


def a_wheel(folder: Path) -> Path:
    """Create a package that pip can install without a network."""
    path = folder / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("tiny.py", "")
        wheel.writestr(
            "tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n"
        )
        wheel.writestr(
            "tiny-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    return path


def test_every_build_folder_names_the_python_version_for_pyenv() -> None:
    # SAM builds in a copy of the folder, outside of the project.
    version = (PROJECT / ".python-version").read_text("utf-8")

    for folder in (FUNCTIONS_FOLDER, LAYER_FOLDER):
        assert (folder / ".python-version").read_text("utf-8") == version
