"""Choose a back end."""

from __future__ import annotations

from interplay.ablation.backends.base import Backend
from interplay.extensions import BACKENDS, BackendName


def get_backend(backend: BackendName | str | Backend) -> Backend:
    """The back end of a name, with its default settings. A back end itself is returned unchanged.

    Raises:
        ValueError: there is none of that name.
    """
    if not isinstance(backend, str):
        return backend
    chosen: Backend = BACKENDS[backend]()
    return chosen
