"""The project's own code, imported apart from everything else: as it is, or with a mutant in it."""

import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final, override
from unittest.mock import patch

from simulation.deployment import PROJECT
from simulation.edit import Edit

_OURS: Final = ("delivery", "delivery_cli", "functions")
_SHARED: Final = (
    (PROJECT / "layers" / "delivery", "delivery/**/*.py"),
    (PROJECT, "functions/**/*.py"),
)


class Program:
    """All modules of the layer and of the functions, separate for each program.

    A function's app.py runs again for each environment of the function, as on Lambda. The modules
    that it imports are shared by all environments, because nothing in them changes.
    """

    def __init__(self, *edits: Edit) -> None:
        self._edited: dict[Path, str] = {}
        for edit in edits:
            path = edit.path()
            self._edited[path] = edit.apply(self._edited.get(path) or path.read_text("utf-8"))
        self._modules: dict[str, ModuleType] = {}
        self._codes: dict[str, CodeType] = {}

    @contextmanager
    def imported(self) -> Iterator[None]:
        """Make imports of the project's code find this program's modules, within the context."""
        others = _take_from_imported()
        sys.modules.update(self._modules)
        finder = _Finder(self._edited)
        sys.meta_path.insert(0, finder)
        try:
            yield
        finally:
            sys.meta_path.remove(finder)
            self._modules = _take_from_imported()
            sys.modules.update(others)

    def import_all_but_apps(self) -> None:
        """Import what the functions share, before a fake takes the place of any of it."""
        if self._modules:
            return
        for root, pattern in _SHARED:
            for path in sorted(root.glob(pattern)):
                if path.stem not in {"__init__", "app"}:
                    import_module(".".join(path.relative_to(root).with_suffix("").parts))

    def start(self, path: Path) -> ModuleType:
        """Run a function's app.py as a new environment does; call it within `imported`."""
        package = f"functions.{path.parent.name}"
        name = f"{package}.{path.stem}"
        if name not in self._codes:
            source = self._edited.get(path) or path.read_text("utf-8")
            self._codes[name] = compile(source, str(path), "exec")
        module = ModuleType(name)
        module.__package__ = package
        module.__file__ = str(path)
        sys.modules[name] = module
        # Dataclasses compile the same methods again in each environment: a third of its start.
        with patch.object(dataclasses, "exec", _run_compiled, create=True):
            exec(self._codes[name], module.__dict__)  # noqa: S102 -- the project's own code
        return module


@cache
def unchanged_program() -> Program:
    """Return the project as it is."""
    return Program()


class _Finder(MetaPathFinder):
    """Finds the modules that are edited; Python finds all others as usual."""

    def __init__(self, edited: Mapping[Path, str]) -> None:
        self._edited = edited

    @override
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not self._edited or not _is_ours(fullname):
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and spec.origin is not None:
            source = self._edited.get(Path(spec.origin))
            if source is not None:
                spec.loader = _EditedLoader(fullname, spec.origin, source)
        return spec


class _EditedLoader(SourceFileLoader):
    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self._source = source

    @override
    def get_code(self, fullname: str) -> Any:
        return compile(self._source, self.path, "exec")


@lru_cache(maxsize=1024)
def _compiled(source: str) -> CodeType:
    return compile(source, "<dataclass>", "exec")


def _run_compiled(source: str, *namespaces: dict[str, Any]) -> None:
    exec(_compiled(source), *namespaces)  # noqa: S102 -- what dataclasses would execute


def _take_from_imported() -> dict[str, ModuleType]:
    """Remove the project's modules from `sys.modules`, and return them."""
    ours = [name for name in sys.modules if name.startswith(_OURS) and _is_ours(name)]
    return {name: sys.modules.pop(name) for name in ours}


@cache
def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in _OURS
