"""ImageGame: what a model gets, what is stored, and what is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import interplay as ip
from interplay._types import FloatArray
from interplay.images import Blur, Constant, ImageGame, Noise, Other, parts
from interplay.images.pictures import Pixels

PHOTO = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)


def corners(images: Pixels) -> FloatArray:
    """Reds of two corners, alone and together, and the green of the middle."""
    reds = images[:, [0, -1], [0, -1], 0] / 255.0
    return np.stack([reds[:, 0] * reds[:, 1], reds.sum(axis=1), images[:, 6, 8, 1]], axis=1)


def scaled(images: Pixels) -> FloatArray:
    return images.mean(axis=(1, 2, 3)) / 255.0


ALL, NONE = np.ones((1, 12), dtype=bool), np.zeros((1, 12), dtype=bool)


def test_the_model_gets_the_image_with_the_fill_where_regions_are_removed() -> None:
    seen: list[Pixels] = []

    def watched(images: Pixels) -> FloatArray:
        seen.append(images)
        return scaled(images)

    game = ImageGame(watched, PHOTO, regions=(3, 4), fill=Constant((10, 20, 30)), batch_size=4)
    assert game.players[5] == "row 2, column 2"
    masks = np.random.default_rng(1).random((10, 12)) < 0.5
    values = game(masks)
    assert [len(images) for images in seen] == [1, 4, 4, 2]
    for mask, image, value in zip(masks, np.concatenate(seen[1:]), values, strict=True):
        expected = PHOTO.copy()
        for player in np.flatnonzero(~mask):
            row, column = divmod(player, 4)
            expected[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = (10, 20, 30)
        assert (image == expected).all()
        assert image.dtype == np.uint8
        assert (game.image_under(mask) == expected).all()
        assert value == scaled(expected[None])[0]
    assert game.batch_size == 4
    assert game.cost(masks).tolist() == [1.0] * 10


def test_pixels_of_no_region_stay() -> None:
    mask = np.zeros((12, 16), dtype=bool)
    mask[:6] = True
    game = ImageGame(scaled, PHOTO, regions={"top": mask}, fill=Constant(0.0))
    empty = game.image_under(np.array([False]))
    assert (empty[:6] == 0).all()
    assert (empty[6:] == PHOTO[6:]).all()


def test_fills() -> None:
    def empty(fill: object) -> Pixels:
        game = ImageGame(scaled, PHOTO, regions=(3, 4), fill=fill)  # type: ignore[arg-type]
        return game.image_under(NONE[0])

    assert np.unique(empty("mean").reshape(-1, 3), axis=0).tolist() == [
        np.rint(PHOTO.mean(axis=(0, 1))).tolist()
    ]
    of_region = empty("region_mean")
    assert len(np.unique(of_region.reshape(-1, 3), axis=0)) == 12
    assert of_region[0, 0].tolist() == np.rint(PHOTO[:4, :4].mean(axis=(0, 1))).tolist()
    assert empty("blur").std() < 0.5 * PHOTO.std()
    assert empty(Blur(0.01)).tolist() == PHOTO.tolist()
    assert empty(Other(PHOTO[::-1])).tolist() == PHOTO[::-1].tolist()
    for fill, words in (
        ("grey", "fill='grey' is unknown; choose one of mean, region_mean, blur, noise"),
        (Constant((1, 2)), "for an image of 3 channels"),
        (Other(PHOTO[:, :5]), "crop or scale it to the same"),
    ):
        with pytest.raises(ValueError, match=words):
            empty(fill)
    with pytest.raises(ValueError, match="sigma=0 is no finite number above 0"):
        Blur(0)
    with pytest.raises(ValueError, match="n_repeats=1 of the noise; 2 to"):
        Noise(1)


def test_noise_is_a_random_game_that_repeats_itself(tmp_path: Path) -> None:
    game = ImageGame(scaled, PHOTO, regions=(2, 2), fill=Noise(3), fingerprint="mean", batch_size=5)
    assert game.n_repeats == 3
    masks = np.array([[True, False, True, True], [False] * 4])
    seeds = np.array([5, 6])
    values = game(masks, seeds)
    assert (values == game(masks, seeds)).all()
    assert values[1] != game(masks, seeds + 1)[1]
    first = ip.explain(game, budget=16, store=tmp_path / "values.db")
    again = ip.explain(game, budget=16, store=tmp_path / "values.db")
    assert again.provenance["budget"]["evaluated"] == 0
    assert (first.spectrum.coefficients == again.spectrum.coefficients).all()
    # the intact image has nothing of the noise
    assert game(np.ones((1, 4), dtype=bool), seeds[:1])[0] == scaled(PHOTO[None])[0]


def test_targets() -> None:
    names = ["both", "sum", "middle"]
    assert ImageGame(corners, PHOTO, outputs=names).outputs == ("middle",)  # the largest
    assert ImageGame(corners, PHOTO, outputs=names, target=("sum", 0)).outputs == ("sum", "both")
    assert ImageGame(corners, PHOTO, outputs=names, target=np.int64(1)).outputs == ("sum",)
    game = ImageGame(corners, PHOTO, outputs=names, target="both", against="sum", regions=(3, 4))
    assert game.outputs == ("both - sum",)
    whole = corners(PHOTO[None])[0]
    assert game(ALL)[0] == whole[0] - whole[1]
    (described,) = game.describe()["targets"]
    assert described == {"kind": "Output", "name": "both", "against": "sum", "score": "margin"}
    for arguments, words in (
        ({"target": "bothh"}, r"target='bothh' is unknown.*did you mean 'both'"),
        ({"target": 3}, "the output 3 is not one of 0 to 2"),
        ({"target": ()}, "has no output"),
        ({"outputs": ["a"]}, "1 names of outputs for a model that gives 3"),
        ({"outputs": ["a", "a", "b"], "target": "a"}, "several outputs are called 'a'"),
    ):
        with pytest.raises(ValueError, match=words):
            ImageGame(corners, PHOTO, **({"outputs": names} | arguments))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"have the shape \(3,\); \(1,\) or \(1, k\)"):
        ImageGame(lambda images: np.zeros(3), PHOTO)
    with pytest.raises(ValueError, match="cannot be called"):
        ImageGame(None, PHOTO)  # type: ignore[arg-type]


def test_the_fingerprint_says_what_values_depend_on() -> None:
    def made(**changed: object) -> str | None:
        settings = {"image": PHOTO, "regions": (3, 4), "fingerprint": "1"} | changed
        return ImageGame(corners, **settings).fingerprint  # type: ignore[arg-type]

    assert made(fingerprint=None) is None
    assert made() == made(batch_size=3) == made(fill="mean") == made(target=2)
    others = [
        made(fingerprint="2"),
        made(image=PHOTO[::-1]),
        made(regions=(4, 3)),
        made(fill="blur"),
        made(fill=Blur(2.0)),
        made(fill=Other(PHOTO[::-1])),
        made(target=1),
        made(target=(2, 1)),
        made(against=1),
    ]
    assert len({made(), *others}) == 1 + len(others)
    # names are labels only
    left = np.arange(16) < 8
    masks = [np.broadcast_to(half, (12, 16)) for half in (left, ~left)]
    named = parts(PHOTO, {"left": masks[0], "right": masks[1]})
    assert made(regions=named) == made(regions=(1, 2))


def test_an_interaction_of_two_corners_is_found_and_refined() -> None:
    """The product of two pixels' reds needs both corners, and nothing else."""
    bright = np.full((12, 16, 3), 255, dtype=np.uint8)
    game = ImageGame(
        lambda images: corners(images)[:, 0], bright, regions=(2, 2), fill=Constant(0.0)
    )
    explanation = ip.explain(game, budget=16)
    top = explanation.interactions("Moebius").top(1)
    assert (top.sets, top.values.tolist()) == ([(0, 3)], [pytest.approx(1.0)])

    refinement = ip.text.drill(game, [(2, 2)], budget=300)
    assert refinement.chosen == ((0, 3),)
    finest = refinement.finest
    (members,) = finest.interactions("FSII", order=2).top(1, min_order=2).sets
    assert [finest.players[player] for player in members] == [
        "row 1, column 1 (1, 1)",
        "row 2, column 2 (2, 2)",
    ]
    assert "2 × 2 grid, 2 × 2 of each" in str(refinement)
    for by in ("word", (1, 1), 4):
        with pytest.raises(ValueError, match=r"give such as \(2, 2\)"):
            game.refined([0], by)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interplay.images.masked.BYTES", 3 * PHOTO.nbytes)
    game = ImageGame(scaled, PHOTO, regions=(3, 4))
    assert game.batch_size == 3
    monkeypatch.setattr("interplay.images.masked.BYTES", 1)
    assert game.batch_size == 1
    assert game(np.concatenate([ALL, NONE])).shape == (2,)


def test_grey_and_floating_point_images() -> None:
    digit = np.linspace(0.0, 16.0, 64).reshape(8, 8)
    game = ImageGame(lambda images: images.reshape(len(images), -1).sum(axis=1), digit)
    assert game.image_under(np.ones(16, dtype=bool)).tolist() == digit.tolist()
    assert game.image_under(np.zeros(16, dtype=bool)) == pytest.approx(np.full((8, 8), 8.0))
    assert game(np.zeros((1, 16), dtype=bool))[0] == pytest.approx(512.0)


def test_fills_that_do_not_fit_are_refused_and_equal_ones_share_values() -> None:
    floating = PHOTO / 255.0
    for fill, said in (
        (Other(PHOTO), "their units differ"),
        (Constant("red"), "no number"),
        (Constant((1.0, 2.0)), "3 channels"),
        (None, "no fill"),
    ):
        with pytest.raises(ValueError, match=said):
            ImageGame(scaled, floating, fill=fill)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="sigma"):
        Blur("wide")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="n_repeats"):
        Noise(2.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs a seed"):
        ImageGame(scaled, PHOTO, fill="noise")(np.zeros((1, 16), dtype=bool))
    for one, same, another in (
        (Constant(0), Constant((0.0,)), Constant(1)),
        (Blur(2), Blur(2.0), Blur(3)),
        (Blur(np.float32(2)), Blur(2), Blur()),  # type: ignore[arg-type]
    ):
        prints = [
            ImageGame(scaled, PHOTO, fill=fill, fingerprint="m").fingerprint
            for fill in (one, same, another)
        ]
        assert prints[0] == prints[1] != prints[2]


def test_a_model_that_writes_into_its_input_leaves_the_image_as_it_is() -> None:
    def careless(images: Pixels) -> FloatArray:
        images -= 0.5
        return images.mean(axis=(1, 2, 3))

    image = PHOTO / 255.0
    game = ImageGame(careless, image, regions=(1, 2))
    assert (game.masked.image == image).all()
    assert game(np.ones((2, 2), dtype=bool)) == pytest.approx(image.mean() - 0.5)


def test_values_of_noise_do_not_depend_on_how_masks_are_cut_and_their_noise_is_told() -> None:
    games = [
        ImageGame(scaled, PHOTO, regions=(2, 2), fill=Noise(3), batch_size=size) for size in (1, 5)
    ]
    one, other = (ip.explain(game, budget=16) for game in games)
    assert (one.ablations.values == other.ablations.values).all()
    assert "is noise, which is repeated here" in str(one.faithfulness)
    assert "of their variance is noise" in one.verdict.reasons[0]
    assert one.verdict.certain_interactions is None  # R2 = 1 says nothing of fresh draws
