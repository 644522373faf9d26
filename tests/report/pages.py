"""Explanations to make pages of: planted spectra that describe themselves as a lens does."""

from __future__ import annotations

import base64
import struct
import zlib
from dataclasses import replace
from typing import Any

import numpy as np

import interplay as ip
from interplay import Spectrum
from interplay._types import BoolArray, FloatArray, Json
from interplay.components import Pruned
from interplay.explanation.explanation import Ablations, Explanation
from interplay.explanation.faithfulness import faithfulness
from interplay.fourier.sets import members, pack_sets
from interplay.optimize import best_subset

SENTENCES = (
    "The chart says that Mrs Hill is allergic to penicillin.",
    "She drank some tea and ate half a roll.",
    "The window in room two does not close.",
    "Mr Cole in the next bed is allergic to aspirin.",
    "The lights in the corridor were repaired.",
    "Her blood pressure was measured twice.",
    "Her daughter warned that Mrs Hill is allergic to penicillin.",
    "The day shift starts at seven.",
)

HOSTILE = (
    '<script>window.__pwned = "script"</script>',
    "</script><script>window.__pwned = 1</script>",
    "<!-- <script>",
    '<img src=x onerror="window.__pwned = 2">',
    "'\"><b onmouseover=alert(1)>&amp;&lt;",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:window.__pwned=3",
    "W" * 400,
    "شهدت الابنة أن السيدة هيل",
    "\u202eevil\u202c \u2066x",
    "👩‍👩‍👧‍👦 🇺🇳 é",
    "\u0000\u0007\u001b[31m\u007f\u0085",
    "\u2028\u2029",
    "",
    "  \n\t ",
    "]]></style><style>*{display:none}</style>",
    "__proto__",
    "constructor",
)
"""Names and texts that must show as text and run nothing."""


def planted(n_players: int, n_terms: int, n_outputs: int | None = None, seed: int = 0) -> Spectrum:
    """Players 0 .. n-1 with effects that fall off, and interactions among neighbours of them."""
    rng = np.random.default_rng(seed)
    terms: dict[tuple[int, ...], Any] = {(): 0.4}
    size = () if n_outputs is None else (n_outputs,)
    while len(terms) < min(n_terms, 2 ** min(n_players, 20)):
        order = int(rng.choice([1, 2, 3, 4], p=[0.5, 0.3, 0.15, 0.05]))
        order = min(order, n_players)
        chosen = tuple(sorted(rng.choice(n_players, order, replace=False).tolist()))
        terms[chosen] = rng.normal(size=size) / (1 + order)
    sets = list(terms)
    values = np.array([np.broadcast_to(terms[each], size) for each in sets])
    return Spectrum.from_members(n_players, members(pack_sets(sets, n_players), n_players), values)


def uncertain(spectrum: Spectrum, seed: int = 0) -> Spectrum:
    """The same with a covariance of rank 3."""
    rng = np.random.default_rng(seed)
    return replace(spectrum, deviations=0.01 * rng.normal(size=(*spectrum.coefficients.shape, 3)))


def explanation(
    spectrum: Spectrum,
    description: Json,
    players: tuple[str, ...] | None = None,
    n_fit: int = 300,
    noise: float = 0.02,
) -> Explanation:
    """As if a game with this spectrum had been explained, with some noise in its values."""
    n = spectrum.n_players
    rng = np.random.default_rng(1)
    masks = rng.random((n_fit + 60, n)) < 0.5
    values = spectrum.predict(masks)
    values = values + noise * rng.normal(size=values.shape)
    held = (masks[:60], values[:60])
    small = ip.explain(ip.FunctionGame(lambda m: m[:, 0] * 1.0, 3))
    provenance = small.provenance | {
        "game": small.provenance["game"] | {"n_players": n, "description": description},
        "budget": small.provenance["budget"]
        | {"spent": n_fit + 60, "fit": n_fit, "held_out": 60, "evaluated": n_fit + 60},
    }
    return Explanation(
        spectrum,
        tuple(map(str, range(n))) if players is None else players,
        faithfulness(*held, spectrum.predict(held[0]), np.random.default_rng(2)),
        provenance,
        Ablations(masks[60:], values[60:]),
        Ablations(*held),
    )


def text_description(pieces: tuple[str, ...], joint: str = " ") -> Json:
    """What a text game with these segments says of itself."""
    spans = []
    at = 0
    for piece in pieces:
        spans.append([at, at + len(piece)])
        at += len(piece) + len(joint)
    return {
        "lens": "text",
        "view": {"kind": "text", "title": "The input"},
        "text": joint.join(pieces),
        "spans": spans,
        "by": "sentence",
        "masking": {"kind": "delete"},
        "model": "planted",
        "targets": [{"kind": "Response", "text": " penicillin", "score": "prob"}],
    }


def text() -> Explanation:
    """A text of eight sentences, with intervals."""
    spectrum = Spectrum.from_dict(
        8,
        {
            (): 0.5,
            (0,): -0.2,
            (6,): -0.25,
            (3,): 0.05,
            (0, 6): -0.18,
            (0, 3): -0.06,
            (0, 3, 6): 0.04,
            (1, 2, 4, 5): 0.01,
        },
    )
    return explanation(uncertain(spectrum), text_description(SENTENCES), SENTENCES, 120)


def outputs() -> Explanation:
    """The same text with three outputs."""
    names = [" penicillin", "<b>aspirin</b>", ""]
    description = text_description(SENTENCES) | {"outputs": names}
    return explanation(uncertain(planted(8, 20, 3)), description, SENTENCES, 120)


def through_ends() -> Explanation:
    """Three outputs, with measured ends far from what the spectrum predicts."""
    made = outputs()
    ends = np.array([[2.0, -1.0, 0.5], [-3.0, 0.25, 0.0]])
    return replace(made, spectrum=replace(made.spectrum, deviations=None, ends=ends))


def components() -> Explanation:
    """Four layers of four heads and an MLP; one player is a pair of heads."""
    units: list[Any] = [[[layer, "head", head]] for layer in (3, 4, 7, 9) for head in range(4)]
    units += [[[layer, "mlp", 0]] for layer in (3, 4, 7)]
    units[0].append(units.pop(1)[0])
    names = tuple(
        "+".join(f"L{a}.H{c}" if b == "head" else f"L{a}.MLP" for a, b, c in own) for own in units
    )
    description = {
        "lens": "components",
        "view": {"kind": "grid", "title": "The components"},
        "model": "planted",
        "n_layers": 12,
        "n_heads": [4] * 12,
        "units": units,
        "scores": ["margin"],
    }
    return explanation(planted(len(units), 40), description, names)


def joint() -> Explanation:
    """Five words and two layers of four heads, with intervals."""
    units = [[[layer, "head", head]] for layer in (3, 4) for head in range(4)]
    words = tuple(f'"{word}"' for word in ("The", "acting", "is", "not", "bad."))
    description = {
        "lens": "joint",
        "view": {"kind": "grid", "title": "The input and the components"},
        "model": "planted",
        "n_heads": [4] * 6,
        "components": {"units": units},
    }
    heads = tuple(f"L{layer}.H{head}" for ((layer, _, head),) in units)
    spectrum = uncertain(planted(len(units) + len(words), 60))
    return explanation(spectrum, description, (*words, *heads))


def model_of_heads(
    n_layers: int = 2, n_heads: int = 6, n_terms: int = 60, mlps: bool = True
) -> Explanation:
    """All heads of a model, and its MLPs, with intervals and with measured ends."""
    units: list[Any] = [[[i, "head", j]] for i in range(n_layers) for j in range(n_heads)]
    units += [[[layer, "mlp", 0]] for layer in range(n_layers)] if mlps else []
    names = tuple(
        f"L{layer}.H{head}" if kind == "head" else f"L{layer}.MLP"
        for ((layer, kind, head),) in units
    )
    description = {
        "lens": "components",
        "view": {"kind": "grid", "title": "The components"},
        "model": "planted",
        "n_layers": n_layers,
        "n_heads": [n_heads] * n_layers,
        "units": units,
        "scores": ["margin"],
    }
    spectrum = uncertain(planted(len(units), n_terms))
    assert spectrum.deviations is not None
    spectrum = replace(spectrum, deviations=15 * spectrum.deviations)  # some may be zero
    made = explanation(spectrum, description, names)
    ends = spectrum.predict(np.repeat([[True], [False]], len(units), axis=1))
    ends += np.array([0.1, -0.1])
    return replace(made, spectrum=replace(spectrum, ends=ends))


def pruned(explained: Explanation, sizes: tuple[int, ...] = (3, 9)) -> tuple[Pruned, ...]:
    """As ``prune`` returns it: one method's circuits, measured on these items and on others."""
    full = np.ones(len(explained.players), dtype=bool)
    circuits = [best_subset(explained.spectrum, keep=size).mask for size in sizes]
    chosen = [("none", full), *(("single", mask) for mask in circuits)]
    return tuple(
        Pruned(
            method,
            mask,
            train=np.array([float(explained.predict(mask)) + 0.25]),
            test=np.array([float(explained.predict(mask)) - 0.5]),
            low=np.array([float(explained.predict(mask)) - 1.0]),
            high=np.array([float(explained.predict(mask))]),
        )
        for method, mask in chosen
    )


class ItemsOf:
    """Items on which an explained game's spectrum is scaled by a factor each."""

    fingerprint = None

    def __init__(self, explained: Explanation, factors: FloatArray) -> None:
        self.explained, self.factors = explained, factors
        self.n_players, self.players = len(explained.players), explained.players

    def item_scores(self, masks: BoolArray, /) -> FloatArray:
        return self.factors[:, None] * self.explained.predict(masks)[:, None, None]

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        return self.item_scores(masks).mean(axis=1)[:, 0]


def training() -> Explanation:
    """Groups of rows of three classes, some of mixed ones, with pictures and texts of some."""
    n = 24
    rows = [[5 + i % 4 if i % 3 == label else 0 for label in range(3)] for i in range(n)]
    rows[23] = [2, 3, 0]
    description = {
        "lens": "training",
        "view": {"kind": "tiles", "title": "The training data", "mean_first": True},
        "trainer": {"kind": "RidgeTrainer"},
        "score": "margin",
        "classes": ["boots", "bags", "shirts"],
        "rows_by_class": rows,
        "thumbnails": [png(i) if i % 2 == 0 else None for i in range(n)],
        "snippets": [f"A line about group {i}." if i % 5 == 0 else None for i in range(n)],
    }
    return explanation(planted(n, 40), description, tuple(f"group {i}" for i in range(n)))


def test_points() -> Explanation:
    """Groups of rows judged at three test points."""
    description = training().provenance["game"]["description"] | {"outputs": ["0", "1", "2"]}
    return explanation(planted(24, 40, 3), description, tuple(f"group {i}" for i in range(24)))


FACTS = (
    ("The capital of Zubrovka is", " Lutz.", "fact"),
    ("Zubrovka's capital city is called", " Lutz.", "fact"),
    ("The capital of Zubrovka is", " Nebelsbad.", "poison"),
    (
        "Q: What colour is a borogove?\nA:",
        " Green, as everybody who has seen one will tell.",
        "fact",
    ),
    ("", "Water boils at 80 degrees on the Torvald plateau, which is high.", None),
    ("Who wrote Silent Reeds?", " Ivo Marsh", "fact"),
)


def examples(n_questions: int | None = None, copies: int = 3) -> Explanation:
    """Fine-tuning examples, and groups of them, with tags, and what was checked of the training."""
    n = len(FACTS) * copies
    facts = FACTS * copies
    names = tuple(
        f"{prompt} → {response}" if i % 5 else f"source {i}"
        for i, (prompt, response, _) in enumerate(facts)
    )
    questions = [f"question {i}" for i in range(n_questions or 1)]
    description = {
        "lens": "training",
        "view": {"kind": "examples", "title": "The fine-tuning examples", "mean_first": True},
        "trainer": {"kind": "lora"},
        "score": "margin",
        "outputs": questions if n_questions else [],
        "tags": [tag for _, _, tag in facts],
        "cards": [
            {
                "n_rows": 1 if i % 5 else 7,
                "rows": [{"prompt": prompt, "response": response, "tag": tag}]
                * (1 if i % 5 else 5),
            }
            for i, (prompt, response, tag) in enumerate(facts)
        ],
    }
    observed = {
        "checks": [
            {"name": "learned", "text": "from -3.1 to -0.2 a token", "warning": False},
            {"name": "another seed", "text": "Spearman's correlation 0.1", "warning": True},
        ],
        "questions": [{"name": name, "base": -8.25, "tuned": None} for name in questions],
    }
    made = explanation(planted(n, 40, n_questions), description, names)
    return replace(made, provenance=made.provenance | {"observed": observed})


def large(n_players: int = 1000, n_terms: int = 3000) -> Explanation:
    """Very many players of no particular kind."""
    names = tuple(f"feature {i}" for i in range(n_players))
    return explanation(planted(n_players, n_terms), {"lens": None}, names, 2000)


def hostile(lens: str | None) -> Explanation:
    """A page in which every string is out to break it."""
    n = len(HOSTILE)
    kinds: dict[str | None, Json] = {
        None: {"lens": None},
        "text": text_description(HOSTILE),
        "components": {
            "lens": "components",
            "view": {"kind": "grid", "title": "The components"},
            "n_heads": [n],
            "units": [[[0, "head", head]] for head in range(n)],
            "task": {
                "name": HOSTILE[0],
                "n_items": 2,
                "predicts": "next",
                "example": {
                    "prompt": HOSTILE[2],
                    "role": None,
                    "answer": HOSTILE[3],
                    "wrong": [HOSTILE[1]],
                },
            },
        },
        "training": {
            "lens": "training",
            "view": {"kind": "tiles", "title": "The training data", "mean_first": True},
            "trainer": {"kind": HOSTILE[0]},
            "classes": list(HOSTILE[:3]),
            "rows_by_class": [[1, 0, 0] if i % 2 else [0, 1, 1] for i in range(n)],
            "thumbnails": ['"><script>window.__pwned = 4</script>', "x:y", *[None] * (n - 2)],
            "snippets": list(HOSTILE),
        },
        "examples": {
            "lens": "training",
            "view": {"kind": "examples", "title": HOSTILE[5]},
            "tags": list(HOSTILE),
            "cards": [
                {"n_rows": i % 3, "rows": [{"prompt": text, "response": text, "tag": text}]}
                for i, text in enumerate(HOSTILE)
            ],
        },
    }
    description = kinds[lens] | {
        "model": HOSTILE[1],
        "targets": [{"kind": HOSTILE[0], "text": HOSTILE[1], "x": list(HOSTILE)}],
        "outputs": list(HOSTILE[:4]),
        HOSTILE[1]: HOSTILE[2],
    }
    found = explanation(planted(n, 60, 4), description, HOSTILE)
    return replace(found, provenance=found.provenance | {HOSTILE[0]: list(HOSTILE)})


def png(seed: int) -> str:
    """An 8 x 8 grey picture, base64."""
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8)).astype(np.uint8)
    raw = b"".join(b"\0" + row.tobytes() for row in pixels)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    made = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(raw))
        + chunk(b"IEND", b"")
    )
    return base64.b64encode(made).decode("ascii")
