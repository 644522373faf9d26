"""The pictures of the concepts, drawn from recorded runs: ``python docs/site/pictures.py``."""

from __future__ import annotations

from math import comb
from pathlib import Path

import numpy as np
from gallery import RECORDED

import interplay as ip

CONCEPTS = Path(__file__).parents[1] / "concepts"
BLUE, ORANGE, GREY, INK = "#3568b0", "#d07a1d", "#c4c8cf", "#24292f"


def text(x: float, y: float, words: str, size: int = 14, **more: str) -> str:
    """Words at a point; ``anchor`` says which of their ends is there."""
    style = " ".join(f'{name}="{value}"' for name, value in more.items())
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" {style}>{words}</text>'


def box(x: float, y: float, width: float, height: float, colour: str) -> str:
    """A filled rectangle."""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'
    )


def line(x: float, y: float, to_x: float, to_y: float, colour: str = INK, dash: str = "") -> str:
    """A straight line."""
    points = f'x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}"'
    return f'<line {points} stroke="{colour}" stroke-width="1.5" stroke-dasharray="{dash}"/>'


def write(name: str, width: int, height: int, title: str, parts: list[str]) -> None:
    """Write a picture with its title, which readers of the screen hear."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'font-family="system-ui, sans-serif" fill="{INK}"><title>{title}</title>'
    )
    body = "\n".join([head, box(0, 0, width, height, "#ffffff"), *parts, "</svg>\n"])
    (CONCEPTS / name).write_text(body, encoding="utf-8")


def interaction() -> None:
    """Four measured values of two documents, and what adding up their effects would give."""
    meeting = ip.load(RECORDED / "meeting.interplay")
    masks = np.ones((4, 7), dtype=bool)
    masks[1, 1] = masks[2, 5] = masks[3, 1] = masks[3, 5] = False
    values = meeting.predict(masks).ravel()  # all masks were evaluated, so these are measured
    rows = ["both documents are there", "without the invitation", "without the reminder"]
    rows.append("without both")
    zero, scale = 430, 30.0
    parts = [text(20, 30, "Logit of “ garden” less that of “ library”", 15)]
    for number, (row, value) in enumerate(zip(rows, values, strict=True)):
        y = 60 + 48 * number
        end = zero + scale * value
        parts.append(text(20, y + 20, row))
        colour = BLUE if value > 0 else ORANGE
        parts.append(box(min(zero, end), y, max(abs(end - zero), 1), 28, colour))
        at_end = {"text-anchor": "end"} if value < 0 else {}
        parts.append(text(end + (8 if value > 0 else -8), y + 20, f"{value:+.2f}", **at_end))
    added = values[1] + values[2] - values[0]
    x, end, y = zero + scale * added, zero + scale * values[3], 60 + 48 * 4
    parts += [
        line(zero, 50, zero, y - 10),
        text(20, y + 20, "if their effects added up"),
        box(min(zero, x), y, max(abs(x - zero), 1), 28, GREY),
        text(x - 8, y + 20, f"{added:+.2f}", **{"text-anchor": "end"}),
        line(x, y + 14, end, y + 14, INK, "4 3"),
        line(end, y + 14, end, y - 20, INK, "4 3"),
        text(
            (x + end) / 2,
            y + 36,
            f"interaction {values[3] - added:+.2f}",
            **{"text-anchor": "middle"},
        ),
    ]
    write("interaction.svg", 720, 310, "Two documents, removed alone and together", parts)


def either() -> None:
    """The four masks of a game in which either of two players is enough."""
    places = {"none": (110, 260, 0), "a": (40, 150, 1), "b": (180, 150, 1), "a, b": (110, 40, 1)}
    parts = [
        line(*places[low][:2], *places[high][:2], GREY)
        for low, high in [("none", "a"), ("none", "b"), ("a", "a, b"), ("b", "a, b")]
    ]
    for name, (x, y, value) in places.items():
        colour = BLUE if value else "#ffffff"
        parts.append(f'<circle cx="{x}" cy="{y}" r="24" fill="{colour}" stroke="{BLUE}"/>')
        ink = {"fill": "#ffffff" if value else INK, "text-anchor": "middle"}
        parts.append(text(x, y + 6, str(value), 17, **ink))
        parts.append(text(x + 30, y - 16, name))
    for number, words in enumerate(
        [
            "First a, then b: a adds 1, b adds 0.",
            "First b, then a: b adds 1, a adds 0.",
            "Shapley values take the mean: ½ each.",
            "Moebius starts from nothing: a 1, b 1, and a × b −1,",
            "since both together do not do 2 but 1.",
        ]
    ):
        parts.append(text(270, 70 + 34 * number, words, 15))
    write("either.svg", 720, 310, "A game of two players of whom either is enough", parts)


def measures() -> None:
    """How many of 20 players a mask keeps, under three measures."""
    n = 20
    laws = {
        "uniform": [comb(n, k) / 2**n for k in range(n + 1)],
        "shapley": [1 / (n + 1)] * (n + 1),
        "Keep(0.9)": [comb(n, k) * 0.9**k * 0.1 ** (n - k) for k in range(n + 1)],
    }
    parts = []
    for number, (name, law) in enumerate(laws.items()):
        left = 25 + 235 * number
        parts.append(text(left, 30, name, 15))
        for size, share in enumerate(law):
            parts.append(box(left + 9.5 * size, 200 - 480 * share, 8, 480 * share, BLUE))
        parts += [line(left, 200, left + 200, 200), text(left, 220, "0", 12)]
        parts.append(text(left + 190, 220, "20", 12))
        parts.append(text(left + 50, 220, "players kept", 12))
    write("measures.svg", 720, 235, "How many of 20 players a mask keeps, by measure", parts)


def faithfulness() -> None:
    """Predicted against actual values on held-out masks: enough ablations, and too few."""
    parts = []
    for number, (name, words) in enumerate([("review", "800 ablations"), ("few", "40 ablations")]):
        explanation = ip.load(RECORDED / f"{name}.interplay")
        held_out = explanation.held_out
        actual, predicted = held_out.values.ravel(), explanation.predict_held_out().ravel()
        low = min(actual.min(), predicted.min()) - 0.2
        high = max(actual.max(), predicted.max()) + 0.2
        left, size = 50 + 350 * number, 250.0
        places = (np.stack([actual, predicted]) - low) / (high - low) * size
        r2 = explanation.faithfulness.r2
        parts.append(text(left, 28, f"{words}: R2 = {r2:.2f}", 15))
        parts.append(line(left, 40 + size, left + size, 40, GREY))
        parts += [line(left, 40, left, 40 + size), line(left, 40 + size, left + size, 40 + size)]
        for x, y in places.T:
            parts.append(
                f'<circle cx="{left + x:.1f}" cy="{40 + size - y:.1f}" r="3.5" fill="{BLUE}" '
                'fill-opacity="0.6"/>'
            )
        parts.append(text(left + 60, 310, "what the model did", 13))
        parts.append(
            text(0, 0, "predicted", 13, transform=f"translate({left - 12} 200) rotate(-90)")
        )
    write("faithfulness.svg", 720, 325, "Predicted against actual values on held-out masks", parts)


if __name__ == "__main__":
    interaction()
    either()
    measures()
    faithfulness()
