"""Pipelines of transformers, as the model and the tokenizer in them."""

from __future__ import annotations

from typing import Any

from interplay.text.models import require_llm

TASKS = ("text-generation", "text2text-generation", "text-classification")
"""The tasks of pipelines whose model and tokenizer make a game."""


def from_pipeline(pipeline: Any) -> tuple[Any, Any]:
    """The model and the tokenizer of a pipeline of transformers, in evaluation mode.

    They go wherever a model and a tokenizer do: ``Response`` and the like score what a
    text-generation pipeline answers, ``Label`` and ``Labels`` what a text-classification pipeline
    decides. Settings of the pipeline itself, such as sampling, truncation or several answers, are
    left aside; a chat is given to a game as messages, as it is to the pipeline.

    Example::

        pipe = transformers.pipeline("text-classification", "my-model")
        game = interplay.text.TextGame(*from_pipeline(pipe), review, Label("POSITIVE"))

    Args:
        pipeline: what ``transformers.pipeline(...)`` returned.

    Returns:
        The model and the tokenizer. They are the pipeline's own, not copies.

    Raises:
        ValueError: it is no pipeline, is of another task, or has no tokenizer.
        MissingDependencyError: torch or transformers are not installed.
    """
    require_llm("from_pipeline")
    if not _is_pipeline(pipeline):
        raise ValueError(
            f"a {type(pipeline).__name__} was given, but no pipeline; give what "
            "transformers.pipeline(...) returned"
        )
    if pipeline.task not in TASKS:
        raise ValueError(
            f"the pipeline is for {pipeline.task!r}, of which no game is made; give one of "
            f"{', '.join(TASKS)}, or the model and the tokenizer"
        )
    if pipeline.tokenizer is None:
        raise ValueError(
            f"the pipeline for {pipeline.task!r} has no tokenizer; make it with tokenizer=..."
        )
    return pipeline.model.eval(), pipeline.tokenizer


def model_and_tokenizer(model: Any, tokenizer: Any) -> tuple[Any, Any]:
    """What a game is given, with a pipeline in the place of the model taken apart.

    Raises:
        ValueError: a model without a tokenizer, a pipeline with another one than its own, or one
            that :func:`from_pipeline` refuses.
    """
    if _is_pipeline(model):
        inner, own = from_pipeline(model)
        if tokenizer is not None and tokenizer is not own:
            raise ValueError(
                "a pipeline was given with another tokenizer than its own; give tokenizer=None, or "
                "pipeline.model and the tokenizer"
            )
        return inner, own
    if tokenizer is None:
        raise ValueError(
            f"tokenizer=None goes with a pipeline, but the model is a {type(model).__name__}; give "
            "its tokenizer"
        )
    return model, tokenizer


def _is_pipeline(thing: object) -> bool:
    """Whether it is a pipeline. Importing its class takes a second, which games need not wait."""
    return any(
        kind.__name__ == "Pipeline" and kind.__module__.startswith("transformers.")
        for kind in type(thing).__mro__
    )
