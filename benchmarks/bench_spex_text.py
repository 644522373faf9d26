"""SPEX, ProxySPEX and LASSO on a real model: a review of more than 100 words, by word.

Each has the same number of distinct ablations, and all are scored on the same held-out masks. The
ablations are stored: the run can be stopped and resumed, and its budget raised.
"""

from __future__ import annotations

import argparse

import interplay as ip

REVIEW = """\
I did not expect to like this film, and for the first twenty minutes I was right. The opening \
is slow, the music is too loud, and nobody in the family says anything that a real person \
would say. Then the grandmother arrives, and nothing after that is dull. She is not kind, she \
is never polite, and yet you cannot stop hoping that she will win. The long dinner scene is \
hardly perfect, but it made me laugh until it hurt. The ending is not the disappointment that \
I feared. I would not call it a masterpiece, and I could not call it a failure. My brother, \
who hates everything, did not hate this."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=int, default=4000)
    parser.add_argument("--store", default="out/bench/spex_text.db")
    options = parser.parse_args()
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    game = ip.text.TextGame(
        model,
        tokenizer,
        REVIEW,
        ip.text.LogitDifference(" positive", " negative"),
        by="word",
        prompt="Movie review: {text}\nThe sentiment of this review is",
    )
    print(f"{game.n_players} words, {options.budget} distinct ablations for each decoder")
    for decoder, order in (("proxyspex", 5), ("lasso", 1), ("spex", 5)):
        found = ip.explain(
            game,
            decoder=decoder,
            order=order,
            budget=options.budget,
            store=options.store,
            progress=True,
        )
        print(f"{decoder:9} {found.faithfulness}; {len(found.spectrum)} terms", flush=True)
        if decoder == "spex":
            print(f"          {found.provenance['decoder']['diagnosis']['summary']}")
            print(found.interactions("Fourier"))


if __name__ == "__main__":
    main()
