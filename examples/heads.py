"""Attention heads that back each other up: subject-verb agreement in layer 10 of SmolLM2-135M.

The nine heads of one layer have 512 masks, so the explanation is exact for its own questions. The
best three heads are then scored on other questions.

Run: python examples/heads.py
"""

from pathlib import Path

import numpy as np

import interplay as ip
from interplay.components import ComponentGame, Task, heads, structure

EXPECTED = [{"L10.H2", "L10.H5"}, {"L10.H1", "L10.H2"}, {"L10.H1", "L10.H5"}]
"""The strongest interactions, all negative: each of the three heads stands in for the others."""
ORDER = 2
TASK = Path(__file__).parent / "tasks" / "agreement.jsonl"
KEPT = 3


def main() -> ip.Explanation:
    """Explain the layer's heads, and prune them."""
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    train, test = Task.from_file(TASK, "margin").split(test=0.9)
    game = ComponentGame(model, tokenizer, train, heads(model, layers=[10]))
    explanation = ip.explain(game, budget=512, store="runs.db")
    print(structure(explanation))
    best = ip.optimize.best_subset(explanation.spectrum, keep=KEPT)
    print(f"of the best {KEPT} heads:", best)
    test_game = game.on(test)
    whole, kept, nothing = test_game(np.stack([best.mask | True, best.mask, best.mask & False]))
    print(f"margin on {len(test.items)} other questions: all heads {whole:.2f} nats,", end=" ")
    print(f"the best {KEPT} {kept:.2f}, none {nothing:.2f}")
    return explanation


if __name__ == "__main__":
    main()
