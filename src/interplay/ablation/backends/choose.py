"""Chooses a back end."""

from __future__ import annotations

from interplay.ablation.backends.base import Backend
from interplay.extensions import BACKENDS, BackendName


def get_backend(backend: BackendName | str | Backend) -> Backend:
    """A back end by its name, with its default settings; or the one given.

    Raises:
        ValueError: there is none of that name.
    """
    if not isinstance(backend, str):
        return backend
    made: Backend = BACKENDS[backend]()
    return made
