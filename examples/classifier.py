"""A classifier's decision: which words, and which words together, made it say "positive".

The classifier is a real ``LlamaForSequenceClassification``: SmolLM2 with a head of two classes. The
head's weights are the language model's own for " negative" and " positive". For a text classifier
in a folder or on the hub use ``load_model(name, task="classification")``.

Run: python examples/classifier.py
"""

import torch
from transformers import LlamaForSequenceClassification

import interplay as ip

REVIEW = "The acting is not bad, but the story never gets moving."
EXPECTED = [{"not", "bad,"}]
"""The strongest interaction."""


def load_classifier():
    """Make a sentiment classifier; return it and its tokenizer."""
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    config = model.config
    config.id2label, config.label2id = (
        {0: "negative", 1: "positive"},
        {"negative": 0, "positive": 1},
    )
    config.pad_token_id = tokenizer.pad_token_id
    classifier = LlamaForSequenceClassification(config)
    classifier.model.load_state_dict(model.model.state_dict())
    words = [tokenizer(word)["input_ids"][0] for word in (" negative", " positive")]
    with torch.no_grad():
        classifier.score.weight.copy_(model.get_output_embeddings().weight[words])
    return classifier.eval(), tokenizer


def main() -> ip.Explanation:
    """Explain the review, and print which words act together."""
    model, tokenizer = load_classifier()
    game = ip.text.TextGame(
        model,
        tokenizer,
        REVIEW,
        ip.text.Label("positive", score="margin"),
        by="word",
        prompt="Movie review: {text}\nThe sentiment of this review is",
    )
    explanation = ip.explain(game, budget=400, store="out/examples.db")
    print(explanation.faithfulness)
    print(explanation.interactions("FSII", order=3).top(5, min_order=2))
    return explanation


if __name__ == "__main__":
    main()
