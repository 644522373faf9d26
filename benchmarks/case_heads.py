"""Which attention heads of SmolLM2-135M act together on subject-verb agreement, and which to prune.

This writes the tables of docs/case-studies/heads.md. Ablations are stored: a run that was stopped
continues where it was, and several processes share the work.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log2
from pathlib import Path

import numpy as np

import interplay as ip
from interplay.components import ComponentGame, Pruned, Structure, Task, heads, prune, structure
from interplay.explanation.faithfulness import Faithfulness, faithfulness

TASK = Path("examples/tasks/agreement.jsonl")
PAGE = Path("docs/case-studies/heads.md")
N_TRAIN = 32
N_HELD_OUT = 100
KEEP = (0.83, 0.66, 0.5)
GROUPS = {
    "first layers, 0-2": range(3),
    "layers 9-11": range(9, 12),
    "middle layers, 14-16": range(14, 17),
    "last layers, 27-29": range(27, 30),
    "all layers": range(30),
}
SMALL_BUDGET = 800
"""For 27 heads; for all 270 it is n log2 n and what is held out."""
MARGIN, CORRECT = 0, 1


@dataclass(frozen=True)
class Study:
    name: str
    n_players: int
    faithful: dict[tuple[str, str], Faithfulness]
    """Of the margin, by the kind of masks and the decoder."""
    n_fit: dict[str, int]
    structure: Structure
    pruned: tuple[Pruned, ...]
    n_random: int
    seconds: float


def study(name: str, game: ComponentGame, test: ComponentGame, store: Path) -> Study:
    started = time.perf_counter()
    n = game.n_players
    budget = SMALL_BUDGET if n < 100 else ceil(n * log2(n)) + N_HELD_OUT
    faithful, n_fit, spectra = {}, {}, {}
    uniform = None
    for masks, decoder in (("uniform", "proxyspex"), ("coded", "spex")):
        found = ip.explain(
            game,
            decoder=decoder,
            measure="uniform",
            budget=budget,
            holdout=N_HELD_OUT,
            store=store,
        )
        uniform = uniform or found
        held = found.held_out
        n_fit[masks] = len(found.fit)
        fitted = {decoder: found.spectrum.output(MARGIN)}
        for other in ("proxyspex", "lasso"):
            if other not in fitted:
                values = found.fit.values[:, MARGIN]
                fitted[other] = ip.decode(found.fit.masks, values, decoder=other)
        for method, spectrum in fitted.items():
            rng = np.random.default_rng(0)
            faithful[masks, method] = faithfulness(
                held.masks, held.values[:, MARGIN], spectrum.predict(held.masks), rng
            )
            spectra.setdefault(method, spectrum)
    assert uniform is not None
    n_random = n_fit["uniform"] // len(KEEP)
    pruned = prune(game, test, KEEP, spectra, n_random=n_random, output=MARGIN, store=store)
    return Study(
        name,
        n,
        faithful,
        n_fit,
        structure(uniform, output=MARGIN),
        pruned,
        n_random,
        time.perf_counter() - started,
    )


def tables(train: Task, test: Task, studies: Sequence[Study]) -> str:
    whole = studies[0].pruned[0]
    lines = [
        f"{len(train.items)} items to explain and prune by, {len(test.items)} to judge by. With "
        f"all heads the margin of the latter is {whole.test[MARGIN]:.2f} nats "
        f"({whole.low[MARGIN]:.2f} to {whole.high[MARGIN]:.2f}), the accuracy "
        f"{whole.test[CORRECT]:.3f} ({whole.low[CORRECT]:.3f} to {whole.high[CORRECT]:.3f}); "
        "guessing is 0.5.",
        "",
        "### Faithfulness: R2 of the margin on 100 held-out masks (95 % interval)",
        "",
        "| heads | masks | ablations of the fit | ProxySPEX | SPEX | LASSO |",
        "|---|---|---|---|---|---|",
    ]
    for each in studies:
        for masks, count in each.n_fit.items():
            cells = [
                f"{found.r2:.3f} ({found.low:.3f} to {found.high:.3f})"
                if (found := each.faithful.get((masks, method)))
                else ""
                for method in ("proxyspex", "spex", "lasso")
            ]
            lines.append(
                f"| {each.name} ({each.n_players}) | {masks} | {count:,} | {' | '.join(cells)} |"
            )
    lines += ["", "### Where the variance of the margin is", ""]
    lines += [
        "| heads | linear | within layers | between layers | synergies | redundancies |",
        "|---|---|---|---|---|---|",
    ]
    for each in studies:
        found = each.structure
        named = [
            ", ".join(f"{name} {value:+.2f}" for name, value in pairs[:3])
            for pairs in (found.synergies, found.redundancies)
        ]
        lines.append(
            f"| {each.name} | {found.linear:.1%} | {found.within:.1%} | {found.between:.1%} | "
            f"{' | '.join(named)} |"
        )
    for output, title in ((MARGIN, "Margin, nats"), (CORRECT, "Accuracy")):
        lines += ["", f"### {title}, on held-out items (95 % interval over items)", ""]
        lines += [
            "| heads | kept | ProxySPEX | SPEX | LASSO | single heads | best random |",
            "|---|---|---|---|---|---|---|",
        ]
        for each in studies:
            for kept in sorted({one.n_kept for one in each.pruned[1:]}, reverse=True):
                row = {one.method: one for one in each.pruned[1:] if one.n_kept == kept}
                cells = [
                    f"{one.test[output]:.2f} ({one.low[output]:.2f} to {one.high[output]:.2f})"
                    for method in ("proxyspex", "spex", "lasso", "single", "random")
                    for one in [row[method]]
                ]
                lines.append(f"| {each.name} | {kept} of {each.n_players} | {' | '.join(cells)} |")
    lines += ["", "### What it took", ""]
    lines += [
        "| heads | random sets of each size | optimum of ProxySPEX's spectrum |",
        "|---|---|---|",
    ]
    for each in studies:
        notes = [
            re.sub(r".*: predicted", "predicted", one.note)
            for one in each.pruned
            if one.method == "proxyspex"
        ]
        lines.append(f"| {each.name} | {each.n_random:,} | {'; '.join(notes)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/case-heads"))
    parser.add_argument("--only", nargs="*", help="groups, by a word of their name")
    chosen = parser.parse_args()
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    whole = Task.from_file(TASK, ("margin", "correct"))
    train, test = whole.split(1 - N_TRAIN / len(whole.items))
    studies = []
    for name, layers in GROUPS.items():
        if chosen.only and not any(word in name for word in chosen.only):
            continue
        game = ComponentGame(model, tokenizer, train, heads(model, layers))
        studies.append(study(name, game, game.on(test), chosen.out / "ablations.db"))
        print(f"{name}: {studies[-1].seconds:.0f} s", flush=True)
    text = tables(train, test, studies)
    print(text)
    if not chosen.only:
        page = PAGE.read_text(encoding="utf-8")
        begin, end = "<!-- tables -->\n", "<!-- end of tables -->"
        before, after = page.split(begin)[0], page.split(end)[1]
        PAGE.write_text(f"{before}{begin}\n{text}\n\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
