"""Golden results: the masks of every design and the spectra of every decoder stay what they are.

``golden.json`` beside this file was written by ``python -m tests.test_golden``, by the code before
its restructuring. A change that is meant to change results writes it anew and says so in the
changelog; any other leaves it alone.

The optimal design depends on how the machine's BLAS rounds. On a machine with another BLAS than the
one that wrote the file, what is made of it is not compared.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import interplay as ip

GOLDEN = Path(__file__).with_name("golden.json")
TOLERANCE = 1e-6
_TOP = 8
"""So many of a spectrum's terms are kept, the strongest ones."""

PLANTED = ip.Spectrum.from_dict(
    12,
    terms={
        (): 0.5,
        (3,): 1.6,
        (0, 7): -1.3,
        (2, 5): 1.1,
        (1, 4, 9): 1.9,
        (6, 8, 11): -1.2,
        (10,): 0.7,
    },
)


def one(masks: Any) -> Any:
    """A sparse function, and a little that is not sparse."""
    return PLANTED.predict(masks) + 0.2 * np.cos(masks @ np.linspace(0.3, 2.1, 12))


def two(masks: Any) -> Any:
    """Two outputs, of which the second is mostly a product and a player."""
    rest = 0.1 * np.sin(masks @ np.linspace(2.9, 0.7, 12))
    return np.stack([one(masks), 3.0 * masks[:, 2] * masks[:, 6] - masks[:, 9] + rest], axis=1)


MASKS: dict[str, tuple[int, dict[str, Any]]] = {
    "table of 7": (7, {"budget": 128}),
    "optimal of 8": (8, {"budget": 60, "measure": "uniform"}),
    "flat of 9": (9, {"budget": 100}),
    "optimal of 20": (20, {"budget": 500, "random_state": 3, "measure": "uniform"}),
    "flat of 20, with a code": (20, {"budget": 800, "random_state": 3}),
    "optimal of 40, its end uniform": (
        40,
        {"decoder": "gp", "budget": 1150, "measure": "uniform"},
    ),
    "optimal of 100": (
        100,
        {"decoder": "gp", "budget": 300, "holdout": 0.3, "measure": "uniform"},
    ),
    "uniform of 12": (12, {"decoder": "proxyspex", "budget": 200}),
    "uniform of 70": (70, {"decoder": "proxyspex", "budget": 300, "holdout": 25}),
    "uniform of 200": (200, {"decoder": "lasso", "budget": 150, "random_state": 5}),
    "coded of 12": (12, {"decoder": "spex"}),
    "coded of 30": (30, {"decoder": "spex", "budget": 2500, "random_state": 1}),
}
CODED: dict[str, tuple[int, dict[str, Any]]] = {
    "7, all": (7, {"budget": 200}),
    "20": (20, {"budget": 1200, "random_state": 2}),
    "20, t=2": (20, {"budget": 900, "random_state": 3, "t": 2}),
    "20, three groups": (20, {"budget": 2000, "random_state": 3, "t": 4, "n_groups": 3}),
    "64, smallest bits": (64, {"budget": 1500, "random_state": 6, "t": 2, "min_bits": 2}),
    "100": (100, {"budget": 4000, "random_state": 7}),
}
Function = Callable[[Any], Any]
SPECTRA: dict[str, tuple[Function, dict[str, Any]]] = {
    "auto, optimal": (two, {"budget": 80, "measure": "uniform"}),
    "auto, flat": (two, {"budget": 300}),
    "gp, optimal": (one, {"decoder": "gp", "budget": 120, "measure": "uniform"}),
    "gp, flat": (one, {"decoder": "gp", "budget": 250}),
    "gp until 0.5, optimal": (
        one,
        {"decoder": "gp", "until": 0.5, "budget": 75, "measure": "uniform"},
    ),
    "proxyspex": (one, {"decoder": "proxyspex", "budget": 160}),
    "proxyspex, two outputs": (two, {"decoder": "proxyspex", "budget": 100, "random_state": 4}),
    "spex, soft": (one, {"decoder": "spex", "decoding": "soft", "budget": 900}),
    "spex, hard": (one, {"decoder": "spex", "decoding": "hard", "budget": 900}),
    "spex, two outputs": (two, {"decoder": "spex", "budget": 900, "order": 3}),
    "lasso": (one, {"decoder": "lasso", "budget": 150}),
    "lasso, order 2, two outputs": (two, {"decoder": "lasso", "budget": 200, "order": 2}),
    "exact": (one, {"budget": 4096, "order": 3}),
    "exact, two outputs": (two, {"budget": 4096}),
}
DECODED: dict[str, tuple[Function, dict[str, Any]]] = {
    "auto": (one, {}),
    "auto, two outputs, order 3": (two, {"order": 3, "random_state": 3}),
    "gp": (one, {"decoder": "gp", "random_state": 7}),
    "gp, two outputs, order 2": (two, {"decoder": "gp", "order": 2}),
    "proxyspex": (one, {"decoder": "proxyspex", "random_state": 2}),
    "lasso, two outputs": (two, {"decoder": "lasso", "order": 2}),
}


def digest(masks: Any) -> str:
    """A hash of masks in their order."""
    packed = np.packbits(np.asarray(masks, dtype=np.bool_), axis=1, bitorder="little")
    return hashlib.sha256(repr(packed.shape).encode() + packed.tobytes()).hexdigest()[:32]


def masks_of(name: str) -> dict[str, Any]:
    """The masks of a run; the game has nothing to say, so that decoding takes no time."""
    n_players, request = MASKS[name]
    game = ip.FunctionGame(lambda masks: np.ones(len(masks)), n_players)
    explanation = ip.explain(game, progress=False, **request)
    return {
        "kind": explanation.provenance["design"]["kind"],
        "count": [len(explanation.fit), len(explanation.held_out)],
        "fit": digest(explanation.fit.masks),
        "held out": digest(explanation.held_out.masks),
    }


def coded(name: str) -> dict[str, Any]:
    """A coded design by itself."""
    n_players, request = CODED[name]
    design = ip.spex.design(n_players, **request)
    return {
        "kind": design.kind,
        "count": [len(design.masks), design.n_coded],
        "masks": digest(design.masks),
        "delays": digest(design.delays) if len(design.delays) else None,
        "hashes": np.asarray(design.hashes).tolist() if n_players < 30 else None,
    }


def spectrum_of(name: str) -> dict[str, Any]:
    """What a decoder makes of a planted function."""
    function, request = SPECTRA[name]
    explanation = ip.explain(ip.FunctionGame(function, 12), progress=False, **request)
    spectrum = explanation.spectrum
    top = spectrum.truncate(n_terms=_TOP)
    found: dict[str, Any] = {
        "decoder": explanation.provenance["decoder"]["ran"],
        "ablations": explanation.provenance["budget"]["spent"],
        "terms": len(spectrum),
        "sets": [list(members) for members in top.sets],
        "coefficients": top.coefficients.tolist(),
        "energy by order": spectrum.energy_by_order().tolist(),
        "R2": list(explanation.faithfulness.by_output),
        "interval": [explanation.faithfulness.low, explanation.faithfulness.high],
    }
    strongest = explanation.interactions("FSII", order=2).top(4)
    found["FSII"] = [list(members) for members in strongest.sets]
    found["FSII values"] = strongest.values.tolist()
    if strongest.deviations is not None:
        found["FSII deviations"] = strongest.deviations.tolist()
    if explanation.surrogate is not None:
        found["surrogate R2"] = explanation.surrogate_r2
    return found


def decoded(name: str) -> dict[str, Any]:
    """What a decoder makes of ablations that were made elsewhere, some of them twice."""
    function, request = DECODED[name]
    masks = np.random.default_rng(0).random((130, 12)) < 0.5
    masks[110:] = masks[:20]
    spectrum = ip.decode(masks, values=function(masks), **request)
    top = spectrum.truncate(n_terms=_TOP)
    found: dict[str, Any] = {
        "terms": len(spectrum),
        "sets": [list(members) for members in top.sets],
        "coefficients": top.coefficients.tolist(),
    }
    first = spectrum.to("SV")
    found["SV"] = first.values.tolist()
    if first.deviations is not None:
        found["SV deviations"] = first.deviations.tolist()
    return found


def blas() -> list[str]:
    """The kernels of numpy's linear algebra."""
    found = {
        str(each.get("architecture")) for each in threadpool_info() if "blas" in each["user_api"]
    }
    return sorted(found)


def same(found: Any, golden: Any, where: str) -> None:
    """Numbers that are not whole may differ by TOLERANCE, everything else not at all."""
    if isinstance(golden, dict):
        assert list(found) == list(golden), where
        for key in golden:
            same(found[key], golden[key], f"{where}: {key}")
    elif isinstance(golden, list) and _has_fractions(golden):
        np.testing.assert_allclose(
            found, golden, rtol=TOLERANCE, atol=TOLERANCE * np.abs(golden).max(), err_msg=where
        )
    elif isinstance(golden, float):
        assert found == pytest.approx(golden, rel=TOLERANCE), where
    else:
        assert found == golden, where


def skip_where_rounded_otherwise(name: str, golden: Any) -> None:
    """Spread masks are those of the machine that wrote the file."""
    if "optimal" in name and blas() != golden["BLAS"]:
        pytest.skip(f"optimal masks of BLAS kernels {golden['BLAS']}; here they are {blas()}")


def _has_fractions(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_has_fractions, value))
    return isinstance(value, float)


@pytest.fixture(scope="module")
def golden() -> Any:
    return json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("name", MASKS)
def test_the_masks_of_a_run(name: str, golden: Any) -> None:
    skip_where_rounded_otherwise(name, golden)
    same(masks_of(name), golden["masks"][name], name)


@pytest.mark.parametrize("name", CODED)
def test_a_coded_design(name: str, golden: Any) -> None:
    same(coded(name), golden["coded"][name], name)


@pytest.mark.parametrize("name", SPECTRA)
def test_a_spectrum(name: str, golden: Any) -> None:
    skip_where_rounded_otherwise(name, golden)
    same(spectrum_of(name), golden["spectra"][name], name)


@pytest.mark.parametrize("name", DECODED)
def test_a_spectrum_of_given_masks(name: str, golden: Any) -> None:
    same(decoded(name), golden["decoded"][name], name)


def written() -> dict[str, Any]:
    """Everything, as it is kept."""
    return {
        "BLAS": blas(),
        "masks": {name: masks_of(name) for name in MASKS},
        "coded": {name: coded(name) for name in CODED},
        "spectra": {name: spectrum_of(name) for name in SPECTRA},
        "decoded": {name: decoded(name) for name in DECODED},
    }


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(written(), indent=1) + "\n")
