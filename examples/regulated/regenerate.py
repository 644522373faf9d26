"""Explains two documents, audits the explanations, and writes their pages beside them.

The documents are a loan decision with its policy and a triage note with its guideline. Both were
written for this example. docs/auditing.md says what the pages show.

Run: make examples-regulated. It takes minutes on one core. A second run takes the ablations from
its store.
"""

import subprocess
import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

import interplay as ip

FOLDER = Path(__file__).parent
OUT = Path("out/regulated")


@dataclass(frozen=True)
class Case:
    """A document and the answer that is explained.

    Attributes:
        name: the name of the document's file.
        question: the words after it.
        response: the answer whose probability is the score.
        removed: sentences, by number, that are removed from the whole prompt in all combinations.
    """

    name: str
    question: str
    response: str
    removed: tuple[tuple[int, ...], ...]

    @property
    def file(self) -> Path:
        """The document's path."""
        return FOLDER / f"{self.name}.txt"


CASES = (
    Case("loan", "Therefore: the application of Ms Reed is", " declined", ((1, 7, 10), (8,))),
    Case("triage", "Therefore: the case of Mr Cole is", " urgent", ((1, 7, 10), (9,), (0, 1, 2))),
)


def run(*arguments: object) -> None:
    """Print a command and run it. If it fails, this script ends."""
    words = list(map(str, arguments))
    print("interplay", " ".join(repr(word) if " " in word else word for word in words), flush=True)
    subprocess.run([sys.executable, "-m", "interplay.cli", *words], check=True)


def removals(game: ip.text.TextGame, removed: tuple[tuple[int, ...], ...]) -> list[str]:
    """Score the whole prompt without some sentences; return Markdown tables."""
    lines = []
    for players in removed:
        kept = np.array(list(product([True, False], repeat=len(players))))
        masks = np.ones((len(kept), game.n_players), dtype=bool)
        masks[:, players] = kept
        lines += ["| score | " + " | ".join(f"{n} {game.players[n]}" for n in players) + " |"]
        lines += ["|" + "---|" * (1 + len(players))]
        for value, row in zip(game(masks), kept, strict=True):
            lines.append(f"| {value:.3f} | " + " | ".join(np.where(row, "there", "")) + " |")
        lines.append("")
    return lines


def main() -> None:
    """Explain, audit, report."""
    lines = ["# The whole prompts, without some of their sentences", ""]
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    for case in CASES:
        out = OUT / case.name
        run(
            *("text", "--model", "smollm2", "--threads", 1, "--file", case.file),
            *("--by", "sentence", "--question", case.question, "--response", case.response),
            *("--target", "prob", "--decoder", "auto", "--budget", 400, "--confirm", 5),
            *("--out", out),
        )
        run("verify", out, "--sample", 20, "--record", OUT / f"{case.name}-verification.json")
        run("report", out, "-o", FOLDER / f"{case.name}.html")
        game = ip.text.TextGame(
            model,
            tokenizer,
            case.file.read_text(encoding="utf-8").strip(),
            ip.text.Response(case.response, score="prob"),
            prompt=f"{{text}}\n\n{case.question}",
        )
        lines += [f"## {case.name}", "", *removals(game, case.removed)]
    run("report", *(OUT / case.name for case in CASES), "-o", FOLDER / "report.md")
    (FOLDER / "removals.md").write_text("\n".join(lines).rstrip("\n") + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
