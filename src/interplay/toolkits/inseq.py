"""inseq: an explanation as its attribution output, and our decoders as an attribution method.

===============  ===============================================================================
``to_inseq``     an explanation as a ``FeatureAttributionOutput``: ``explanation.to_inseq()``
``Interplay``    inseq's method ``"interplay"``, which importing this module registers
===============  ===============================================================================

docs/toolkits/inseq.md has an example of each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from interplay._types import BoolArray, FloatArray, Json, visible
from interplay.errors import MissingDependencyError
from interplay.explanation.explain import explain
from interplay.explanation.explanation import Explanation
from interplay.text.answer_readouts import Rows
from interplay.text.targets import Response
from interplay.toolkits._input_game import language_game
from interplay.toolkits._tokens import (
    interval,
    is_exact,
    of_singles,
    probabilities,
    shapley_settings,
    target_of,
)

try:
    import torch
    from inseq.attr.feat import FeatureAttribution
    from inseq.attr.step_functions import probability_fn
    from inseq.data.attribution import (
        CoarseFeatureAttributionSequenceOutput,
        FeatureAttributionOutput,
    )
    from inseq.utils.typing import TokenWithId
except ImportError as error:
    raise MissingDependencyError("inseq", "inseq", "interplay.toolkits.inseq") from error

__all__ = ["Interplay", "to_inseq"]

_NO_ID = -1
"""The id of what is no token of a vocabulary, as inseq itself has it."""


def to_inseq(explanation: Explanation, index: str = "SV") -> FeatureAttributionOutput:
    """An explanation as inseq's output; see :meth:`interplay.Explanation.to_inseq`."""
    description = explanation.provenance["game"]["description"]
    names = explanation.outputs or (target_of(explanation).get("text") or "value",)
    sequence = CoarseFeatureAttributionSequenceOutput(
        source=[TokenWithId(visible(name), _NO_ID) for name in explanation.players],
        target=[TokenWithId(visible(name), _NO_ID) for name in names],
        source_attributions=_tensor(of_singles(explanation, index)),
        step_scores=_step_scores(explanation, probabilities(explanation)),
        sequence_scores=_tensors(interval(explanation, index)),
    )
    info = _info(explanation, index) | {
        "attributed_fn": description.get("targets", []),
        "model_name": description.get("model"),
        "input_texts": [description.get("text", " ".join(explanation.players))],
        "generated_texts": ["".join(explanation.outputs)],
    }
    return FeatureAttributionOutput([sequence], info=info)


class Interplay(FeatureAttribution):
    """Shapley values from a decoder, as inseq's attribution method ``"interplay"``.

    The players are the tokens of the prompt; a removed one is replaced by inseq's baseline token.
    One run of ablations gives the values for all generated tokens, and each ablation scores all
    of them in one pass, where inseq's other perturbation methods perturb again for each token.

    Example::

        import interplay as ip, inseq
        ip.toolkits.inseq  # registers the method
        model = inseq.load_model(model, "interplay", tokenizer=tokenizer)
        output = model.attribute("The capital of France is", n_samples=200)
        model.attribution_method.interplay[0].interactions("FSII", order=2)

    Args:
        attribution_model: inseq's model, of a decoder. inseq passes it.
        **settings: arguments of :func:`interplay.explain`, such as ``decoder``.

    Raises:
        ValueError: a setting is an argument of ``model.attribute`` under another name.
    """

    method_name = "interplay"

    def __init__(self, attribution_model: Any, **settings: Any) -> None:
        super().__init__(attribution_model)
        self.settings = shapley_settings(
            settings,
            {
                "budget": "attribute(..., n_samples=)",
                "progress": "attribute(..., show_progress=)",
            },
        )
        self.interplay: tuple[Explanation, ...] = ()

    def get_attribution_args(self, **given: Any) -> tuple[Json, Json]:
        """Which arguments of ``model.attribute`` are this method's: ``n_samples``, the budget."""
        own = {"n_samples"} & given.keys()
        return {name: given[name] for name in own}, {
            name: value for name, value in given.items() if name not in own
        }

    def prepare_and_attribute(
        self,
        sources: list[str],
        targets: list[str],
        *,
        attributed_fn: Callable[..., Any] | str | None = None,
        attribution_args: Json | None = None,
        step_scores: list[str] | None = None,
        show_progress: bool = True,
        skip_special_tokens: bool = False,
        attr_pos_start: int | None = None,
        attr_pos_end: int | None = None,
        **others: Any,
    ) -> list[FeatureAttributionOutput]:
        """Attribute the generated texts to their prompts; inseq calls it.

        Args:
            sources: the prompts.
            targets: the prompts with what was generated.
            attributed_fn: what is attributed; only the probability of each token.
            attribution_args: ``n_samples``, the budget of each prompt.
            step_scores: only ``"probability"``, which is there in any case.
            show_progress: show progress on stderr.
            skip_special_tokens: read the texts without the tokenizer's special tokens.
            attr_pos_start: not available: all generated tokens are attributed.
            attr_pos_end: likewise.
            **others: what else inseq passes has no effect here.

        Returns:
            An output for each prompt, in inseq's form for decoders: the prompt's tokens, then the
            generated ones, which are not attributed to (NaN), with step scores as for
            :meth:`interplay.Explanation.to_inseq`.

        Raises:
            ValueError: the model is an encoder-decoder, or something else is asked for than the
                probability of all generated tokens.
        """
        if self.attribution_model.is_encoder_decoder:
            raise ValueError("method='interplay' needs a decoder; this is an encoder-decoder")
        if attributed_fn not in (None, "probability", probability_fn):
            raise ValueError(
                f"attributed_fn={attributed_fn!r} is not available with method='interplay'; "
                "leave it out, which attributes each token's probability"
            )
        if set(step_scores or ()) - {"probability"} or attr_pos_start or attr_pos_end:
            raise ValueError(
                f"step_scores={step_scores}, attr_pos_start={attr_pos_start} and attr_pos_end="
                f"{attr_pos_end} are not available with method='interplay'; leave them out"
            )
        budget = (attribution_args or {}).get("n_samples")
        made = [
            self._attributed(source, whole, budget, show_progress, not skip_special_tokens)
            for source, whole in zip(sources, targets, strict=True)
        ]
        self.interplay = tuple(explanation for explanation, _ in made)
        return [output for _, output in made]

    def _attributed(
        self, source: str, whole: str, budget: int | None, progress: bool, special: bool
    ) -> tuple[Explanation, FeatureAttributionOutput]:
        wrapped = self.attribution_model
        encoded = wrapped.encode([whole], return_baseline=True, add_special_tokens=special)
        n_prompt = wrapped.encode([source], add_special_tokens=special).input_ids.shape[1]
        ids, baseline = (
            rows[0].cpu().numpy() for rows in (encoded.input_ids, encoded.baseline_ids)
        )
        players = np.flatnonzero(ids[:n_prompt] != baseline[:n_prompt])

        def rows(masks: BoolArray) -> Rows:
            prompts = np.tile(ids[:n_prompt], (len(masks), 1))
            prompts[:, players] = np.where(masks, ids[players], baseline[players])
            return Rows(prompts.tolist(), lambda answer: [])  # the response's tokens are known

        tokens = [
            TokenWithId(token, int(number))
            for token, number in zip(encoded.input_tokens[0], ids, strict=True)
        ]
        game = language_game(
            rows,
            [tokens[player].token for player in players],
            [Response(whole, "prob", "token", tokens=tuple(ids[n_prompt:].tolist()))],
            wrapped.model,
            wrapped.tokenizer,
            "inseq",
            {"ids": ids.tolist(), "baseline": baseline.tolist(), "n_prompt": n_prompt},
        )
        explanation = explain(game, budget=budget, progress=progress, **self.settings)
        shape = len(ids), len(ids) - n_prompt

        def at_players(values: FloatArray) -> FloatArray:
            placed = np.full(shape, np.nan)
            placed[players] = values
            return placed

        limits = interval(explanation, "SV")
        sequence = CoarseFeatureAttributionSequenceOutput(
            source=tokens[:n_prompt],
            target=tokens,
            target_attributions=_tensor(at_players(of_singles(explanation, "SV"))),
            step_scores=_step_scores(explanation, explanation.full),
            sequence_scores=_tensors({name: at_players(ends) for name, ends in limits.items()}),
            attr_pos_start=n_prompt,
        )
        info = _info(explanation, "SV") | {"attributed_fn": "probability"} | wrapped.info
        return explanation, FeatureAttributionOutput([sequence], info=info)


def _step_scores(
    explanation: Explanation, probability: FloatArray | None
) -> dict[str, torch.Tensor]:
    """What is known of each output besides its attributions."""
    scores: dict[str, FloatArray] = {}
    if probability is not None:
        scores["probability"] = probability
    if explanation.ends is not None:
        full, baseline = explanation.ends.reshape(2, -1)
        scores |= {"full": full, "baseline": baseline}
    return _tensors(scores | {"R2": np.asarray(explanation.faithfulness.by_output)})


def _info(explanation: Explanation, index: str) -> Json:
    """How an attribution was made, and how far it can be trusted."""
    score = explanation.faithfulness
    return {
        "attribution_method": Interplay.method_name,
        "index": index,
        "estimated": not is_exact(explanation),
        "faithfulness": score.to_json(),
        "n_ablations": len(explanation.ablations),
        "step_scores": [],
        "attribute_target": False,
    }


def _tensors(values: dict[str, FloatArray]) -> dict[str, torch.Tensor]:
    return {name: _tensor(numbers) for name, numbers in values.items()}


def _tensor(values: FloatArray) -> torch.Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float32))
