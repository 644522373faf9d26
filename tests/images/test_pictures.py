"""Images: what is read, what is refused, and the small copy for reports."""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from interplay.errors import MissingDependencyError
from interplay.images.pictures import SHOWN, as_bytes, digest, read_image, shown_copy

PHOTO = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)


def test_files_and_pillow_images_are_rgb(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(PHOTO).save(path)
    assert (read_image(path) == PHOTO).all()
    assert (read_image(str(path)) == PHOTO).all()
    grey = Image.fromarray(PHOTO[..., 0])
    assert read_image(grey).shape == (30, 40, 3)
    turned = grey.copy()
    turned.getexif()[0x0112] = 6  # the camera was held upright
    turned.save(tmp_path / "turned.png", exif=turned.getexif())
    assert read_image(tmp_path / "turned.png").shape == (40, 30, 3)


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = tmp_path / "photo.png"
    text.write_text("no image")
    with pytest.raises(ValueError, match=r"photo.png is no image that can be read"):
        read_image(text)
    with pytest.raises(ValueError, match=r"nowhere.png is no image"):
        read_image(tmp_path / "nowhere.png")
    with pytest.raises(ValueError, match=r"give image.transpose\(1, 2, 0\)"):
        read_image(PHOTO.transpose(2, 0, 1))
    with pytest.raises(ValueError, match="pixels are int64; uint8 or floating point"):
        read_image(PHOTO.astype(np.int64))
    with pytest.raises(ValueError, match=r"the shape \(4,\)"):
        read_image(np.zeros(4))
    with pytest.raises(ValueError, match="NaN"):
        read_image(np.full((3, 3), np.nan))
    Image.fromarray(PHOTO).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ValueError, match=r"large.png is no image that can be read"):
        read_image(tmp_path / "large.png")


def test_without_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "interplay\[images\]"'):
        read_image("photo.png")


def opened(copy: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(copy["jpeg"])))


@pytest.mark.parametrize(
    ("shape", "size"),
    [((30, 40, 3), (240, 180)), ((2000, 1000, 3), (256, SHOWN)), ((8, 8), (256, 256))],
)
def test_the_copy_has_a_bounded_size(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    noise = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    copy = shown_copy(noise)
    assert opened(copy).size == (copy["width"], copy["height"]) == size
    assert len(copy["jpeg"]) < 400_000  # noise is the worst case


def test_what_people_see_of_numbers() -> None:
    assert as_bytes(np.array([[0.0, 1.0]])).tolist() == [[0, 255]]
    assert as_bytes(np.array([[-4.0, 12.0]])).tolist() == [[0, 255]]
    assert as_bytes(np.full((1, 1, 1), 7, dtype=np.uint8)).tolist() == [[7]]
    transparent = np.array([[[9, 9, 9, 0]]], dtype=np.uint8)
    assert as_bytes(transparent).tolist() == [[[255, 255, 255]]]


def test_a_digest_tells_types_and_shapes_apart() -> None:
    zeros = np.zeros((2, 2), dtype=np.uint8)
    assert len({digest(zeros), digest(zeros.reshape(1, 4)), digest(zeros.astype(float))}) == 3


def test_deep_pixels_are_refused_not_cut_off(tmp_path: Path) -> None:
    deep = (PHOTO[..., 0].astype(np.uint16) + 1) * 200
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray(deep.astype(np.float32)).save(tmp_path / "deep.tiff")
    for image in (tmp_path / "deep.png", tmp_path / "deep.tiff", Image.fromarray(deep)):
        with pytest.raises(ValueError, match="more than 8 bits"):
            read_image(image)
