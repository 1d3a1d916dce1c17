"""How large the layer and the functions are that SAM builds."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

from bench.benchmark import Benchmark, Known, Results, Run, Table
from bench.lambda_runtime import LambdaRuntime
from simulation.deployment import functions

_BYTECODE: Final = "__pycache__"
_MIB: Final = 1024 * 1024


def measure(run: Run) -> Results:
    """Bytes of what is uploaded, and of what lies there afterwards."""
    runtime = LambdaRuntime.prepare(run.folder)
    packages = sorted(path for path in runtime.layer.iterdir() if path.name != _BYTECODE)
    return {
        "layer": _sizes(runtime.layer),
        "layer_without_bytecode": _sizes(runtime.layer, without=_BYTECODE),
        "function": _sizes(runtime.code(next(iter(functions())))),
        "packages": {
            path.name: sum(file.stat().st_size for file in _files(path))
            for path in packages
            if path.is_dir() and not path.name.endswith(".dist-info")
        },
    }


def _sizes(folder: Path, *, without: str | None = None) -> Results:
    files = [path for path in _files(folder) if without not in path.parts]
    with TemporaryFile() as packed, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.relative_to(folder))
        archive.close()
        return {
            "zipped": packed.tell(),
            "unzipped": sum(file.stat().st_size for file in files),
            "files": len(files),
        }


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def tables(known: Known) -> Sequence[Table]:
    """The layer, a function, and the packages in the layer."""
    found = known[SIZE.name]
    names = {
        "layer": "layer, as it is deployed",
        "layer_without_bytecode": "the same without bytecode",
        "function": "code of the functions (each has all of it)",
    }
    whole = [
        (
            name,
            _mib(found[key]["zipped"]),
            _mib(found[key]["unzipped"]),
            str(found[key]["files"]),
        )
        for key, name in names.items()
    ]
    packages = sorted(found["packages"].items(), key=lambda it: -it[1])
    return [
        Table(header=("what", "zipped", "unzipped", "files"), rows=whole),
        Table(
            header=("in the layer, bytecode included", "unzipped"),
            rows=[(f"`{name}`", _mib(size)) for name, size in packages],
        ),
    ]


def _mib(size: int) -> str:
    return f"{size / _MIB:.2f} MiB"


SIZE: Final = Benchmark(
    name="size",
    title="Size",
    question="How large is what is deployed?",
    measure=measure,
    tables=tables,
)
