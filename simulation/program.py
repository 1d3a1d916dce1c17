"""The project's own code, loaded afresh: as it is, or with one deliberate fault in it."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final, override

from simulation.deployment import PROJECT

_OURS: Final = ("delivery", "delivery_cli", "functions")
_WITHIN: Final = tuple(f"{name}." for name in _OURS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A change of one source file: `old` is there exactly once, and becomes `new`."""

    path: str
    old: str
    new: str

    def apply(self, source: str) -> str:
        """The changed source.

        Raises:
            ValueError: the source has no such place, or several.
        """
        if source.count(self.old) != 1:
            raise ValueError(f"{self.path} has {source.count(self.old)} times: {self.old}")
        return source.replace(self.old, self.new)


class Program:
    """All modules of the layer and of the functions; each program has its own.

    A function's app.py runs again for every environment of the function, as on Lambda; what it
    imports is shared, since nothing in it changes.
    """

    def __init__(self, *edits: Edit) -> None:
        self._edits = edits
        self._modules: dict[str, ModuleType] = {}
        self._codes: dict[str, CodeType] = {}

    @contextmanager
    def imported(self) -> Iterator[None]:
        """Imports of the project's code find this program's modules meanwhile."""
        others = _taken_from_imported()
        sys.modules.update(self._modules)
        finder = _Finder(self._edits)
        sys.meta_path.insert(0, finder)
        try:
            yield
        finally:
            sys.meta_path.remove(finder)
            self._modules = _taken_from_imported()
            sys.modules.update(others)

    def import_all_but_apps(self) -> None:
        """Import what the functions share, before anything is put in its place."""
        if not self._modules:
            layer = PROJECT / "layers" / "delivery" / "delivery"
            paths = [*layer.rglob("*.py"), *PROJECT.glob("functions/*/*.py")]
            for path in sorted(paths):
                if path.stem not in {"__init__", "app"}:
                    root = layer.parent if path.is_relative_to(layer) else PROJECT
                    import_module(".".join(path.relative_to(root).with_suffix("").parts))

    def start(self, path: Path) -> ModuleType:
        """Run a function's app.py as a new environment does; call it within `imported`."""
        package = f"functions.{path.parent.name}"
        name = f"{package}.{path.stem}"
        if name not in self._codes:
            source = _edited(path.read_text("utf-8"), path, self._edits)
            self._codes[name] = compile(source, str(path), "exec")
        module = ModuleType(name)
        module.__package__ = package
        module.__file__ = str(path)
        sys.modules[name] = module
        exec(self._codes[name], module.__dict__)  # noqa: S102 -- the project's own code
        return module


@cache
def unchanged_program() -> Program:
    """The project as it is."""
    return Program()


class _Finder(MetaPathFinder):
    """Finds the files that are edited; all others are found as usual."""

    def __init__(self, edits: Sequence[Edit]) -> None:
        self._edits = edits

    @override
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not self._edits or fullname.partition(".")[0] not in _OURS:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is None or spec.origin is None:
            return spec
        if _edited_here(Path(spec.origin), self._edits):
            spec.loader = _EditedLoader(fullname, spec.origin, self._edits)
        return spec


class _EditedLoader(SourceFileLoader):
    def __init__(self, name: str, path: str, edits: Sequence[Edit]) -> None:
        super().__init__(name, path)
        self._edits = edits

    @override
    def get_code(self, fullname: str) -> Any:
        path = Path(self.path)
        return compile(_edited(path.read_text("utf-8"), path, self._edits), self.path, "exec")


def _edited(source: str, path: Path, edits: Sequence[Edit]) -> str:
    for edit in _edited_here(path, edits):
        source = edit.apply(source)
    return source


def _edited_here(path: Path, edits: Sequence[Edit]) -> list[Edit]:
    return [edit for edit in edits if PROJECT / edit.path == path]


def _taken_from_imported() -> dict[str, ModuleType]:
    """Remove the project's modules from what is imported, and return them."""
    names = [name for name in sys.modules if name in _OURS or name.startswith(_WITHIN)]
    return {name: sys.modules.pop(name) for name in names}
