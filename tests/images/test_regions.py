"""Regions: each pixel has its player, names say where, finer ones lie in coarser ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from interplay._types import IntArray
from interplay.images import Regions, boxes, grid, parts, superpixels
from interplay.images.outlines import outlines
from interplay.images.regions import regions_of

IMAGE = np.zeros((6, 9, 3), dtype=np.uint8)


def test_a_grid_has_rectangles_named_by_row_and_column() -> None:
    regions = grid(IMAGE, 2, 3)
    assert regions.names[4] == "row 2, column 2"
    assert regions.by == "2 × 3 grid"
    assert (regions.labels[3:, 3:6] == 4).all()
    assert np.bincount(regions.labels.ravel()).tolist() == [9] * 6
    # sides that do not divide: parts differ by a pixel
    uneven = np.bincount(grid(IMAGE, 4, 2).labels.ravel())
    assert set(uneven) <= {4, 5, 8, 10}
    with pytest.raises(ValueError, match="7 rows does not fit an image of 6 pixels"):
        grid(IMAGE, 7, 2)


def test_boxes_and_marked_parts() -> None:
    regions = boxes(IMAGE, {"sign": (0, 0, 4, 3), "wall": (2, 0, 9, 6)})
    assert regions.labels[0, 3] == 0  # the first of two has a pixel of both
    assert regions.labels[5, 8] == 1
    assert regions.labels[5, 0] == -1  # always kept
    assert boxes(IMAGE, {"sign": (0, 0, 4, 3)}, rest="ground").names == ("sign", "ground")
    with pytest.raises(ValueError, match="right <= 9 and top < bottom <= 6"):
        boxes(IMAGE, {"sign": (0, 0, 10, 3)})
    halves = {1: (0, 0, 4, 6), "1": (4, 0, 9, 6)}
    with pytest.raises(ValueError, match="several regions have the name '1'"):
        boxes(IMAGE, halves)
    with pytest.raises(ValueError, match="several regions have the name 'rest'"):
        boxes(IMAGE, {"rest": (0, 0, 4, 6)}, rest="rest")
    with pytest.raises(ValueError, match="'below' has no pixel"):
        boxes(IMAGE, {"above": (0, 0, 4, 3), "below": (1, 1, 3, 2)})
    with pytest.raises(ValueError, match=r"bool of the shape \(6, 9\)"):
        parts(IMAGE, {"sign": np.ones((9, 6), dtype=bool)})


def test_what_regions_takes() -> None:
    labels = np.zeros((6, 9), dtype=np.int32)
    labels[2:] = 1
    assert len(regions_of(IMAGE, (2, 3))) == 6
    assert regions_of(IMAGE, labels).names == ("region 0", "region 1")
    assert regions_of(IMAGE, {"a": (0, 0, 2, 2)}).names == ("a",)
    assert regions_of(IMAGE, {"a": labels == 1}).names == ("a",)
    with pytest.raises(ValueError, match="cannot be read; give"):
        regions_of(IMAGE, "grid")
    with pytest.raises(ValueError, match="give regions of this image"):
        regions_of(IMAGE, labels[:, :5])
    with pytest.raises(ValueError, match="each number from 0 on"):
        regions_of(IMAGE, labels * 2)


def test_superpixels_follow_colours_and_are_connected() -> None:
    from scipy import ndimage

    image = np.zeros((60, 90, 3), dtype=np.uint8)
    image[:, :, 2] = 200
    rows, columns = np.indices((60, 90))
    disc = (rows - 30) ** 2 + (columns - 40) ** 2 < 18**2
    image[disc] = (220, 40, 40)
    regions = superpixels(image, 12)
    assert 6 <= len(regions) <= 14
    for region in range(len(regions)):
        inside = regions.labels == region
        assert ndimage.label(inside)[1] == 1
        assert disc[inside].mean() in (0.0, 1.0)  # none crosses the border of the disc
    again = superpixels(image, 12)
    assert again.digest() == regions.digest()
    assert regions.labels[0, 0] == 0  # numbered as they are read
    # a large image is cut on a coarser grid, a grey one by its greys
    large = superpixels(np.repeat(np.repeat(image, 8, axis=0), 8, axis=1), 12)
    assert large.labels.shape == (480, 720)
    assert len(superpixels(image[..., 0].astype(float) / 255, 4)) >= 2


def test_finer_regions_lie_in_the_coarser_ones() -> None:
    coarse = boxes(IMAGE, {"a": (0, 0, 4, 4), "b": (4, 0, 9, 6)}, rest="c")
    finer, children = coarse.refined([0, 2], 2, 2)
    assert children[1] == (4,)
    assert finer.names[:5] == ("a (1, 1)", "a (1, 2)", "a (2, 1)", "a (2, 2)", "b")
    assert len(finer) == 5 + len(children[2])
    for region, numbers in enumerate(children):
        assert (np.isin(finer.labels, numbers) == (coarse.labels == region)).all()


def test_what_labels_must_be() -> None:
    with pytest.raises(ValueError, match="whole numbers"):
        Regions(np.zeros((3, 3)), ("a",), "part")
    with pytest.raises(ValueError, match="no pixel belongs to a region"):
        Regions(np.full((3, 3), -1), (), "part")


def area(lines: list[list[int]]) -> float:
    """What closed lines enclose, by the shoelace formula; holes count negatively."""
    total = 0.0
    for line in lines:
        x, y = np.array(line[::2]), np.array(line[1::2])
        total += float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2
    return total


@given(arrays(np.int64, (5, 7), elements=st.integers(-1, 2)))
def test_outlines_enclose_what_belongs_to_a_region(labels: IntArray) -> None:
    labels[0, :3] = range(3)  # each has a pixel
    drawn = outlines(labels, 3)
    assert drawn["map"] == [7, 5]
    for region in range(3):
        inside = labels == region
        assert area(drawn["outlines"][region]) == inside.sum()
        column, row = drawn["places"][region]
        assert inside[row, column]


def test_outlines_of_a_large_image_are_coarser() -> None:
    labels = np.zeros((500, 1000), dtype=np.int64)
    labels[:, 500:] = 1
    labels[499, 999] = 2  # too small to be seen
    drawn = outlines(labels, 3)
    assert drawn["map"] == [240, 120]
    assert drawn["outlines"][0] == [[0, 0, 120, 0, 120, 120, 0, 120]]
    assert area(drawn["outlines"][2]) == 1


def test_what_is_no_whole_number_or_no_box_is_told() -> None:
    mask = np.ones((6, 9), dtype=np.bool_)
    for wrong, said in (
        ((2.7, 2), "rows=2.7 is not a whole number"),
        (("a", 2), "rows='a' is not a whole number"),
        ({"a": (0, 0, 3)}, "is expected, of all regions"),
        ({"a": (0, 0, 3, 3), "b": mask}, "is expected, of all regions"),
        ({"a": (0.0, 0, 3, 3)}, "not a whole number"),
    ):
        with pytest.raises(ValueError, match=said):
            regions_of(IMAGE, wrong)
