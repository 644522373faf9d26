"""``interplay audit``: a set of prompts, and what recurs in it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from interplay import text as lens
from interplay._types import Json
from interplay.audit.lessons import Learn
from interplay.audit.result import DOCUMENT
from interplay.audit.sets import LEAST, audit_prompts
from interplay.cli.folders import print_written
from interplay.cli.manifest import write_manifest
from interplay.cli.options import (
    ModelOptions,
    RunOptions,
    choice,
    command,
    existing,
)
from interplay.cli.prompts import pattern, unit
from interplay.cli.status import EXIT_INTERRUPTED
from interplay.cli.tables import console
from interplay.cli.text import TextOptions
from interplay.text.filled import FIELD, fields_of
from interplay.text.rows import RowPrompts, filled_target, from_rows, from_samples, read_rows
from interplay.text.sample_files import read_samples
from interplay.text.sample_items import written_items

_LEARN: dict[str, Learn] = {"relevance": "relevance", "effects": "effects", "none": False}


@dataclass(frozen=True)
class AuditOptions(ModelOptions):
    """The prompts, the model, and what is scored."""

    model: Annotated[
        str,
        typer.Option(
            help='Folder or hub name of a language model, or "smollm2" (packaged); with --base-url '
            "the name that the server knows the model by."
        ),
    ]
    template: Annotated[
        str | None,
        typer.Option(
            help="The prompt with {field} in it for each field of a row, or the file that it is "
            "in. Without it rows are chats (messages), or samples of lm-eval."
        ),
    ] = None
    by: Annotated[
        str,
        typer.Option(
            help="Players: field, each field and each item of a list; or word, sentence, line, "
            "paragraph, message, or regex:PATTERN, into which they are cut."
        ),
    ] = FIELD
    keep: Annotated[
        list[str] | None,
        typer.Option(help="A field that is never removed; give it several times."),
    ] = None
    pattern: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=REGEX: a role of the players that match it; give it several times."
        ),
    ] = None
    slice: Annotated[
        str | None,
        typer.Option("--slice", help="A column: findings are also given for each of its values."),
    ] = None
    title: Annotated[
        str | None, typer.Option(help="The field that names a prompt; by default its line does.")
    ] = None
    first: Annotated[
        int | None, typer.Option(min=1, help="Only so many prompts, from the first on.")
    ] = None
    least: Annotated[
        float,
        typer.Option(help="The smallest effect that shows, as a share of a prompt's range."),
    ] = LEAST
    learn: Annotated[
        str,
        typer.Option(
            help="What earlier prompts say of the next: relevance, which segments are likely to "
            "matter; effects, and in which direction; none, nothing."
        ),
    ] = "relevance"
    response: Annotated[
        str | None,
        typer.Option(
            help='The response to score, with {field} in it, such as " {answer}"; by default the '
            "model's own greedy answer to each."
        ),
    ] = None
    target: Annotated[str | None, typer.Option(help="What to score, as for interplay text.")] = None
    against: Annotated[
        str | None,
        typer.Option(help="The other answer, with {field} in it, for contrast."),
    ] = None
    label: Annotated[str | None, typer.Option(help="A class of the classifier, by name.")] = None
    masking: Annotated[
        str, typer.Option(help="What becomes of a removed player: delete, mask-token, attention.")
    ] = "delete"
    replacement: Annotated[
        str | None, typer.Option(help="A text that stands in for it instead.")
    ] = None
    language: Annotated[
        str | None, typer.Option(help="The language, for sentences: a code, such as de.")
    ] = None
    base_url: Annotated[
        str | None,
        typer.Option(help="An OpenAI-compatible endpoint instead of a local model."),
    ] = None
    key_variable: Annotated[
        str, typer.Option(help="The environment variable that holds the key.")
    ] = "OPENAI_API_KEY"
    max_requests: Annotated[
        int | None, typer.Option(help="Most requests to the endpoint for a prompt.")
    ] = None
    max_tokens: Annotated[
        int | None, typer.Option(help="Most tokens at the endpoint for a prompt.")
    ] = None
    concurrency: Annotated[int, typer.Option(help="Requests to the endpoint at a time.")] = 8

    def prompts(self, path: Path) -> RowPrompts:
        """The prompts of a file.

        Raises:
            ValueError: options that exclude each other.
        """
        masking = self._text().masked_by()
        scored = self._text()
        patterns = dict(map(_pattern, self.pattern or ()))
        template = self._template()
        unknown = set(self.keep or ()) - set(fields_of(template or ""))
        if unknown:
            raise ValueError(
                f"--keep {sorted(unknown)[0]}: the template has no such field; it has "
                f"{', '.join(fields_of(template or '')) or 'none'}"
            )
        settings: dict[str, Any] = {"by": unit(self.by), "language": self.language}
        if template is None and _is_samples(path):
            if self.by == FIELD:
                settings["by"] = "sentence"
            target = scored.scored() if self.response or self.target else None
            if target is not None and "{" in (self.response or ""):
                raise ValueError("samples of lm-eval have no fields; leave --response out")
            game, tokenizer = self._game(masking)
            return from_samples(
                islice(read_samples(path), self.first),
                game,
                target=target,
                patterns=patterns,
                tokenizer=tokenizer,
                **settings,
            )

        def target_of(row: Json) -> Any:
            return self._text(row).scored()

        self._text({}, filled=False).scored()  # what is wrong is told before a model is loaded
        game, tokenizer = self._game(masking)
        return from_rows(
            islice(read_rows(path), self.first),
            game,
            template=template,
            target=target_of,
            keep=self.keep or (),
            patterns=patterns,
            title=self.title,
            tokenizer=tokenizer,
            **settings,
        )

    def _template(self) -> str | None:
        """The template: what was given, or the content of the file of that name."""
        given = self.template
        if given is None or "{" in given:
            return given
        path = Path(given)
        if not path.is_file():
            raise ValueError(f"--template {given!r} has no {{field}}, and is no file")
        return path.read_text(encoding="utf-8").removesuffix("\n")

    def _text(self, row: Json | None = None, filled: bool = True) -> TextOptions:
        """The options of a prompt by itself, with the fields of a row in its answers."""
        names = {field.name for field in fields(TextOptions)} & {
            field.name for field in fields(self)
        }
        given = {name: getattr(self, name) for name in names}
        if row is not None and filled:
            answers = ("response", "against", "label")
            given |= {name: filled_target(given[name], row) for name in answers}
        return TextOptions(**given)

    def _game(self, masking: Any) -> tuple[Any, Any]:
        """What makes the game of each prompt, and the tokenizer."""
        if self.base_url is not None:
            return partial(
                lens.ApiGame,
                self.model,
                base_url=self.base_url,
                key_variable=self.key_variable,
                max_requests=self.max_requests,
                max_tokens=self.max_tokens,
                concurrency=self.concurrency,
                masking=masking,
                language=self.language,
            ), None
        model, tokenizer = lens.load_model(
            self.model,
            task=self._text().task,
            **self.loading(),
        )
        return partial(
            lens.TextGame, model, tokenizer, masking=masking, language=self.language
        ), tokenizer


@command
def audit_command(
    prompts: Annotated[
        Path,
        typer.Argument(
            callback=existing,
            metavar="PROMPTS",
            help="Rows of fields: JSON lines, or CSV with a header; or what lm-eval --log_samples "
            "wrote.",
        ),
    ],
    chosen: AuditOptions,
    run: RunOptions,
) -> None:
    """Explain each prompt of a set, and tell what recurs, by field, document, role or pattern.

    The same command goes on where an interrupted one was. Rows that cannot be explained are named
    at the end, and the exit code is then 3.

    Example: interplay audit rows.jsonl --model smollm2 --template "{facts} {question}" --response
    " {answer}" --target prob --keep question
    """
    out = run.folder("audit")
    settings = run.settings("audit")
    audit = audit_prompts(
        chosen.prompts(prompts),
        folder=out,
        by=chosen.slice,
        least=chosen.least,
        learn=_learned(chosen.learn),
        **settings,
    )
    audit.save(out / DOCUMENT)
    page = audit.to_html()
    console.print(str(audit), markup=False, highlight=False, soft_wrap=True)
    write_manifest(out)
    print_written(page)
    if audit.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    if audit.refused:
        raise typer.Exit(EXIT_INCOMPLETE)


EXIT_INCOMPLETE = 3
"""The exit status of an audit that could not explain every prompt."""


def _learned(written: str) -> Learn:
    choice("--learn", written, _LEARN)
    return _LEARN[written]


def _pattern(written: str) -> tuple[str, re.Pattern[str]]:
    name, equals, expression = written.partition("=")
    if not (name and equals and expression):
        raise ValueError(f"--pattern {written!r} is not NAME=REGEX")
    return name, pattern(expression)


def _is_samples(path: Path) -> bool:
    """Whether the first row is one of lm-eval."""
    for _, line in written_items(path):
        try:
            given = json.loads(line)
        except ValueError:
            return False
        return isinstance(given, dict) and {"doc_id", "arguments"} <= given.keys()
    return False
