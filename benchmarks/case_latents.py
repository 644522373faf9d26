"""What latents of a sparse autoencoder do together on agreement, tested by joint ablation.

This writes the tables of docs/case-studies/latents.md. The autoencoder is trained first if its file
is not there (benchmarks/sparse_autoencoder.py). Ablations are stored: a run that was stopped goes
on where it was.

Run: python benchmarks/case_latents.py
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import interplay as ip
import sparse_autoencoder
from interplay._types import FloatArray
from interplay.components import ComponentGame, Task, Unit, latents
from interplay.components.architecture import find_architecture
from interplay.components.patching import ending_before
from interplay.confirmation.verdict import Confirmation, Tested

TASK = Path("examples/tasks/agreement.jsonl")
PAGE = Path("docs/case-studies/latents.md")
LAYER, N_PLAYERS, BUDGET, N_CLAIMS = 14, 24, 400, 6
N_CONFIRM = 500
MEASURE = ip.Keep(0.5, 0.97)
SEED = 0
PLURAL = (" are", " were", " have", " do", " seem", " look", " need", " come")


def by_attribution(
    model: Any, tokenizer: Any, task: Task, sae: Any
) -> tuple[tuple[Unit, ...], FloatArray]:
    """All active latents, and what removing each costs to first order; the largest first."""
    active = latents(model, tokenizer, task, sae, LAYER, top=None)
    costs = -ComponentGame(model, tokenizer, task, active).attribution()
    order = np.argsort(-np.abs(costs), kind="stable")
    return tuple(active[number] for number in order), costs[order]


def removals(game: ComponentGame, sets: Sequence[Sequence[int]]) -> FloatArray:
    """Each item's score with some players removed, ``(sets, items)``."""
    masks = np.ones((len(sets), game.n_players), dtype=bool)
    for mask, members in zip(masks, sets, strict=True):
        mask[list(members)] = False
    return game.item_scores(masks)[:, :, 0]


def interval(values: FloatArray) -> str:
    """A mean over items, and its 95 % interval by the normal law."""
    mean, half = values.mean(), 1.96 * values.std(ddof=1) / len(values) ** 0.5
    return f"{mean:+.2f} ({mean - half:+.2f} to {mean + half:+.2f})"


def activations(
    model: Any, tokenizer: Any, task: Task, players: Sequence[Unit]
) -> tuple[FloatArray, float]:
    """Mean activations, and the median error of the reconstruction relative to the state's size.

    The former are ``(players, 2, 2)``: singular or plural subjects; last token or others. First
    tokens are left out.
    """
    architecture = find_architecture(model)
    sums, counts, errors = np.zeros((len(players), 2, 2)), np.zeros((2, 2)), []
    for item in task.items:
        ids = tokenizer(item.prompt, return_tensors="pt")["input_ids"]
        with torch.inference_mode(), ending_before(architecture, LAYER + 1) as states:
            model(input_ids=ids, use_cache=False)
        with torch.inference_mode():
            dictionary, read = players[0].dictionary, states[0][0, 1:]
            assert dictionary is not None
            found = dictionary.encode(read)
            error = (read - dictionary.codec.decode(found)).norm(dim=1) / read.norm(dim=1)
        errors += error.tolist()
        by_token = found[:, [player.head for player in players]].double().numpy()
        number = int(item.answer in PLURAL)
        sums[:, number] += np.stack([by_token[-1], by_token[:-1].sum(axis=0)], axis=1)
        counts[number] += 1, len(by_token) - 1
    return sums / counts, float(np.median(errors))


def tables(
    everything: ComponentGame,
    on_test: ComponentGame,
    explanation: ip.Explanation,
    confirmation: Confirmation,
    costs: FloatArray,
    active: FloatArray,
    error: float,
) -> str:
    n_active = everything.n_players
    first = np.arange(n_active)[None] >= np.array([[0], [N_PLAYERS], [n_active]])
    whole, without, none = everything(first)
    lines = [
        f"At the median token of the task the reconstruction is off by {error:.2f} of the state's "
        f"size. {n_active} latents are active on the {len(everything.task.items)} questions to "
        f"explain by. The margin is {whole:.2f} nats with all of them, {without:.2f} without the "
        f"{N_PLAYERS} players, and {none:.2f} without all. R2 on held-out masks: "
        f"{explanation.faithfulness.r2:.2f} ({explanation.faithfulness.low:.2f} to "
        f"{explanation.faithfulness.high:.2f}).",
        "",
        "### Single latents",
        "",
        f"What its removal costs on {len(on_test.task.items)} other questions, in nats (95 % "
        "interval over questions), and to first order on those to explain by; its mean activation "
        "at the last token of a prompt whose subject is singular or plural, and at the tokens "
        "before.",
        "",
        "| latent | cost | to first order | last token, singular | plural | before, singular | "
        "plural |",
        "|---|---|---|---|---|---|---|",
    ]
    involved = sorted({player for tested in confirmation.tested for player in tested.players})
    scores = removals(on_test, [(), *((player,) for player in involved)])
    for player, alone in zip(involved, scores[1:], strict=True):
        (one_last, one_before), (many_last, many_before) = active[player]
        lines.append(
            f"| {explanation.players[player]} | {interval(scores[0] - alone)} | "
            f"{costs[player]:+.2f} | {one_last:.1f} | {many_last:.1f} | {one_before:.1f} | "
            f"{many_before:.1f} |"
        )
    lines += [
        "",
        "### Pairs: the claims, and fresh ablations",
        "",
        "The claim is the interaction at the intact model (Co-Moebius) by the spectrum; negative: "
        "the joint removal costs more than the two removals. Then its mean over masks of the "
        "measure, as predicted and as measured on fresh masks (intervals that cover together with "
        "95 %); and on the other questions what the joint removal costs, and the interaction.",
        "",
        "| pair | claim | predicted | measured on fresh masks | verdict | cost of both, other "
        "questions | interaction, other questions | cost of both to first order |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for tested in confirmation.tested:
        lines.append(_row(tested, on_test, costs))
    return "\n".join(lines) + "\n"


def _row(tested: Tested, on_test: ComponentGame, costs: FloatArray) -> str:
    one, other = tested.players
    full, first, second, both = removals(on_test, [(), (one,), (other,), (one, other)])
    return (
        f"| {' x '.join(tested.labels)} | {tested.value:+.2f} | {tested.predicted:+.2f} | "
        f"{tested.measured:+.2f} ({tested.low:+.2f} to {tested.high:+.2f}) | {tested.verdict} | "
        f"{interval(full - both)} | {interval(full - first - second + both)} | "
        f"{costs[one] + costs[other]:+.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sae", type=Path, default=Path(f"out/latents/sae-{LAYER}.safetensors"))
    parser.add_argument("--store", type=Path, default=Path("out/latents/runs.db"))
    given = parser.parse_args()
    if not given.sae.exists():
        script = Path(__file__).with_name("sparse_autoencoder.py")
        command = [sys.executable, str(script), "--layer", str(LAYER), "--out", str(given.sae)]
        subprocess.run(command, check=True)
    given.store.parent.mkdir(parents=True, exist_ok=True)
    started = time.process_time()
    sae = sparse_autoencoder.load(given.sae)
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    train, test = Task.from_file(TASK, "margin").split(0.75, random_state=SEED)
    ranked, costs = by_attribution(model, tokenizer, train, sae)
    players = ranked[:N_PLAYERS]
    game = ComponentGame(model, tokenizer, train, players)
    explanation = ip.explain(
        game, measure=MEASURE, budget=BUDGET, store=given.store, random_state=SEED
    )
    confirmation = explanation.confirm(
        N_CLAIMS,
        order=2,
        index="Co-Moebius",
        budget=N_CONFIRM,
        store=given.store,
        random_state=SEED + 1,
    )
    print(confirmation)
    page = tables(
        ComponentGame(model, tokenizer, train, ranked),
        game.on(test),
        explanation,
        confirmation,
        costs,
        *activations(model, tokenizer, Task(train.items + test.items), players),
    )
    print(page)
    before, begin, rest = PAGE.read_text(encoding="utf-8").partition("<!-- tables -->\n")
    end = "<!-- end of tables -->"
    after = rest.partition(end)[2]
    PAGE.write_text(f"{before}{begin}\n{page}\n{end}{after}", encoding="utf-8")
    print(f"{time.process_time() - started:.0f} CPU s")


if __name__ == "__main__":
    main()
