"""Back ends: where a game runs. Each takes blocks of masks as it gets to them."""

from __future__ import annotations

from interplay.ablation.backends.base import Backend, Blocks
from interplay.ablation.backends.local import LocalBackend
from interplay.ablation.backends.ray import RayBackend

BACKENDS: dict[str, type[LocalBackend] | type[RayBackend]] = {
    "local": LocalBackend,
    "ray": RayBackend,
}

__all__ = ["BACKENDS", "Backend", "Blocks", "LocalBackend", "RayBackend", "get_backend"]


def get_backend(backend: str | Backend) -> Backend:
    """A back end by its name, with its default settings; or the one given.

    Raises:
        ValueError: there is none of that name.
    """
    if not isinstance(backend, str):
        return backend
    if backend not in BACKENDS:
        raise ValueError(f"backend={backend!r} is unknown; choose one of {', '.join(BACKENDS)}")
    return BACKENDS[backend]()
