"""The modules of the toolkits as attributes of ``interplay.toolkits``, imported when first used."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from interplay.extensions import nearest

_ROOM = __name__.rpartition(".")[0]


@cache
def _modules() -> tuple[str, ...]:
    """The names of the modules beside this one."""
    spec = find_spec(_ROOM)
    assert spec is not None
    found = pkgutil.iter_modules(spec.submodule_search_locations)
    return tuple(module.name for module in found if not module.name.startswith("_"))


def __getattr__(name: str) -> ModuleType:
    """Import ``interplay.toolkits.NAME``.

    Raises:
        AttributeError: there is no such module.
        MissingDependencyError: the toolkit is not installed.
    """
    if name not in _modules():
        listed = f"there are {', '.join(_modules())}{nearest(name, _modules())}"
        raise AttributeError(f"module {_ROOM!r} has no attribute {name!r}; {listed}")
    return import_module(f"{_ROOM}.{name}")


def __dir__() -> list[str]:
    return list(_modules())
