"""Images as arrays: read, checked, and made small for a report."""

from __future__ import annotations

import base64
import hashlib
import io
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from interplay._types import Json
from interplay.errors import MissingDependencyError

Pixels: TypeAlias = npt.NDArray[Any]
"""An image ``(h, w)`` or ``(h, w, c)``, or a batch of them: ``uint8``, or floating point."""

SHOWN = 512
"""The longest side, in pixels, of the copy of an image that reports show: about 40 kB as JPEG."""
_QUALITY = 80
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
"""What files may hold: of all that Pillow reads, some start other programs."""
_CHANNELS = (1, 3, 4)
_DEEP = ("I", "F")
"""What Pillow's modes of pixels above 8 bits begin with."""


def require_pillow(purpose: str) -> Any:
    """Pillow's module ``Image``.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError("pillow", "images", purpose) from error
    return Image


def read_image(image: Any) -> Pixels:
    """An image as an array whose channels come last.

    Args:
        image: the path of a PNG, JPEG, WebP, BMP, GIF or TIFF file, a Pillow image, or an array
            ``(h, w)`` or ``(h, w, c)`` with 1, 3 or 4 channels, ``uint8`` or floating point. Files
            and Pillow images become RGB, turned as the camera was held; their transparency is left
            out, as most preprocessing does.

    Returns:
        A copy of the array, or ``uint8 (h, w, 3)``.

    Raises:
        ValueError: no such file, no image, one of more than 8 bits, or an array of another shape,
            type or with NaN.
        MissingDependencyError: pillow is not installed, and it is no array.
    """
    if isinstance(image, str | Path):
        return _opened(Path(image))
    if hasattr(image, "getbands"):  # Pillow's, without importing it for arrays
        return _as_rgb(image)
    pixels = np.array(image)
    if pixels.ndim not in (2, 3) or 0 in pixels.shape:
        raise ValueError(
            f"the image has the shape {pixels.shape}; (height, width) or (height, width, channels) "
            "is expected"
        )
    if pixels.ndim == 3 and pixels.shape[2] not in _CHANNELS:
        hint = "; channels come last: give image.transpose(1, 2, 0)"
        raise ValueError(
            f"the image has the shape {pixels.shape}, so {pixels.shape[2]} channels; 1, 3 or 4 are "
            f"expected{hint if pixels.shape[0] in _CHANNELS else ''}"
        )
    if pixels.dtype != np.uint8 and pixels.dtype.kind != "f":
        raise ValueError(
            f"the image's pixels are {pixels.dtype}; uint8 or floating point is expected, so give "
            "image.astype(np.uint8) or image.astype(float)"
        )
    if not np.isfinite(pixels).all():
        raise ValueError("the image has pixels that are NaN or infinite; finite ones are expected")
    return pixels


def _opened(path: Path) -> Pixels:
    module = require_pillow(f"reading {path.name}")
    try:
        with module.open(path, formats=_FORMATS) as picture:
            return _as_rgb(picture)
    except (OSError, ValueError, SyntaxError, module.DecompressionBombError) as error:
        raise ValueError(f"{path} is no image that can be read: {error}") from error


def _as_rgb(picture: Any) -> Pixels:
    from PIL import ImageOps

    if picture.mode.startswith(_DEEP):  # Pillow would cut all values off at 255
        raise ValueError(
            f"the image has pixels of more than 8 bits (Pillow's mode {picture.mode!r}); scale "
            "them and give an array, such as (numpy.asarray(picture) / 65535).astype(float)"
        )
    return np.array(ImageOps.exif_transpose(picture).convert("RGB"))


def digest(pixels: Pixels) -> str:
    """A hash of an array's shape, type and bytes."""
    head = f"{pixels.shape} {pixels.dtype.str} ".encode()
    return hashlib.sha256(head + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def as_bytes(pixels: Pixels) -> npt.NDArray[np.uint8]:
    """An image for people, ``uint8 (h, w)`` or ``(h, w, 3)``.

    Floating-point images are read as 0 to 1 if they lie in it, and are stretched to their own range
    otherwise. What is transparent becomes white.
    """
    shown = pixels.astype(np.float64)
    if pixels.dtype == np.uint8:
        shown = shown / 255.0
    elif shown.min() < 0.0 or shown.max() > 1.0:
        span = float(np.ptp(shown)) or 1.0
        shown = (shown - shown.min()) / span
    if shown.ndim == 3 and shown.shape[2] == 4:
        opaque = shown[..., 3:]
        shown = shown[..., :3] * opaque + (1.0 - opaque)
    if shown.ndim == 3 and shown.shape[2] == 1:
        shown = shown[..., 0]
    return np.rint(255.0 * shown).astype(np.uint8)


def shown_copy(pixels: Pixels) -> Json:
    """A small copy for reports: ``width``, ``height``, and ``jpeg`` in base64.

    A longest side above :data:`SHOWN` is scaled down to it; an image of few pixels is scaled up by
    a whole number, so that its pixels stay squares.

    Raises:
        MissingDependencyError: pillow is not installed.
    """
    module = require_pillow("a picture of the image for the report")
    picture = module.fromarray(as_bytes(pixels))
    longest = max(picture.size)
    if longest > SHOWN:
        size = [max(1, round(side * SHOWN / longest)) for side in picture.size]
        picture = picture.resize(size, module.Resampling.LANCZOS)
    elif longest <= SHOWN // 4:
        times = SHOWN // 2 // longest
        size = [side * times for side in picture.size]
        picture = picture.resize(size, module.Resampling.NEAREST)
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=_QUALITY)
    return {
        "width": picture.width,
        "height": picture.height,
        "jpeg": base64.b64encode(written.getvalue()).decode("ascii"),
    }
