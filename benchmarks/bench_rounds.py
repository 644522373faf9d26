"""What rounds of proposals and refits are worth: circuits among 81 heads of SmolLM2.

The heads of layers 8 to 16, on agreement of verbs: 34 questions to explain and choose by, 100 to
judge by. For each measure and budget one explanation by ``gp``; for each objective and number of
rounds the score that is predicted and measured on the former, and measured on the latter.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import interplay as ip
from interplay.components import ComponentGame, Task, heads, prune
from record_games import AGREEMENT

RUNS = (("keep:0.25-0.97", 250), ("uniform", 100))
ROUNDS = (0, 1, 3)
SHARES = (0.5, 0.3)
JUDGED = 0.75
"""The share of the questions that judge."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, default=Path("out/rounds.db"))
    parser.add_argument("--seeds", type=int, default=1)
    chosen = parser.parse_args()
    chosen.store.parent.mkdir(parents=True, exist_ok=True)
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    train, test = Task.from_file(AGREEMENT, ("margin", "correct")).split(JUDGED, random_state=0)
    game = ComponentGame(model, tokenizer, train, heads(model, layers=list(range(8, 17))))
    for measure, budget in RUNS:
        explanation = ip.explain(
            game, decoder="gp", measure=measure, budget=budget, store=chosen.store
        )
        print(f"{measure}, {budget} ablations: {explanation.faithfulness}")
        for objective in ("best", "faithful"):
            for rounds, seed in ((r, s) for r in ROUNDS for s in range(chosen.seeds if r else 1)):
                results = prune(
                    game,
                    game.on(test),
                    SHARES,
                    {"gp": explanation},
                    rounds=rounds,
                    objective=objective,
                    single=not rounds,
                    random_state=seed,
                    store=chosen.store,
                )
                for choice in results[bool(rounds) :]:
                    low, high = choice.low[0], choice.high[0]
                    print(
                        f"{objective:9} {choice.method:7} rounds={rounds} seed={seed} "
                        f"keep {choice.n_kept}: predicted {choice.predicted:.2f}, measured "
                        f"{choice.train[0]:.2f}; judged {choice.test[0]:.2f} ({low:.2f} to "
                        f"{high:.2f}), accuracy {choice.test[1]:.2f}; {choice.spent} ablations",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
