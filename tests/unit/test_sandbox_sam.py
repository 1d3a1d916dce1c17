"""Running the SAM CLI: failures are shown, and the user's AWS account is not reachable."""

import sys
from pathlib import Path

import pytest

from sandbox.aws.sam import Sam
from sandbox.errors import SandboxError

STAND_IN = """#!{python}
import os, sys
print("arguments:", *sys.argv[1:])
for name in sorted(os.environ):
    if name.startswith("AWS_"):
        print(name, os.environ[name])
for number in range(40):
    print("line", number)
print("Error: no such thing", file=sys.stderr)
sys.exit("{command}" == sys.argv[1])
"""
BUILT = "Resources:\n  Queue:\n    Type: AWS::SQS::Queue\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("run", "bin", ".sandbox"):
        (tmp_path / name).mkdir()
    return tmp_path


def a_sam(project: Path, monkeypatch: pytest.MonkeyPatch, *, failing: str = "") -> Sam:
    """A stand-in for the CLI that prints its arguments and environment; one command may fail."""
    stand_in = project / "bin" / "sam"
    stand_in.write_text(STAND_IN.format(python=sys.executable, command=failing))
    stand_in.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(project / "bin" / "python3.13"))
    return Sam(
        project=project,
        cache=project / ".sandbox",
        folder=project / "run",
        aws_environment={"AWS_ACCESS_KEY_ID": "test"},
    )


def test_a_failure_is_an_error_with_the_last_lines_and_the_path_of_the_log(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sam = a_sam(project, monkeypatch, failing="build")

    with pytest.raises(SandboxError) as failed:
        sam.build({})

    log = project / "run" / "sam-build.log"
    assert not sam.is_built
    assert "Error: no such thing" in str(failed.value)
    assert "line 39" in str(failed.value)
    assert "line 3\n" not in str(failed.value)
    assert str(log) in str(failed.value)
    assert "line 3\n" in log.read_text()


def test_the_aws_settings_of_the_user_are_not_passed_on(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "own-key")

    a_sam(project, monkeypatch).build({})

    log = (project / "run" / "sam-build.log").read_text()
    assert "AWS_ACCESS_KEY_ID test" in log
    assert "production" not in log
    assert "own-key" not in log


def test_what_is_built_is_built_again_only_when_a_source_changes(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = project / "functions" / "send" / "app.py"
    handler.parent.mkdir(parents=True)
    log = project / "run" / "sam-build.log"
    sam = a_sam(project, monkeypatch)

    def builds() -> bool:
        log.unlink(missing_ok=True)
        sam.build({})
        return log.exists()

    built = [builds(), builds()]
    for source in (handler, project / "template.yaml", project / "functions" / "Makefile"):
        source.write_text("a change")
        built += [builds(), builds()]
    (handler.parent / "__pycache__").mkdir()
    (handler.parent / "__pycache__" / "app.pyc").write_bytes(b"bytecode")

    assert built == [True, False] * 4
    assert not builds()


def test_the_built_template_is_deployed_with_the_parameters(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = project / ".sandbox" / "build"
    built.mkdir()
    (built / "template.yaml").write_text(BUILT)

    a_sam(project, monkeypatch).deploy(
        stack_name="delivery", parameters={"MutedCategories": "opt_out, content"}
    )

    log = (project / "run" / "sam-deploy.log").read_text()
    assert f"--template-file {built / 'emulated.yaml'}" in log
    assert (built / "emulated.yaml").read_text() == BUILT
    assert "--stack-name delivery" in log
    assert '--parameter-overrides MutedCategories="opt_out, content"' in log


def test_a_missing_sam_cli_is_an_error_with_the_fix(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(project / "bin" / "python3.13"))
    monkeypatch.setenv("PATH", str(project / "bin"))

    with pytest.raises(SandboxError, match="make demo"):
        Sam(project=project, cache=project, folder=project / "run", aws_environment={})
