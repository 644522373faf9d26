"""An answer that needs two documents: neither gives it alone, both together do.

Nine documents were retrieved for a guest's question. One says which network room seven uses,
another gives the password of that network. A third, which is fixed, gives the password of another
network. The score is the probability of the right password. The players are the other eight
documents.

Run: python examples/two_documents.py
"""

import interplay as ip

DOCUMENTS = [
    {"id": "rooms-1", "text": "The hotel has forty rooms."},
    {"id": "rooms-7", "text": "Room seven uses the network Falcon."},
    {"id": "food-1", "text": "Breakfast is served from seven to ten."},
    {"id": "pool", "text": "The pool is closed in winter."},
    {"id": "net-2", "text": "The password of the network Condor is cherry.", "fixed": True},
    {"id": "taxi", "text": "Taxis wait in front of the hotel."},
    {"id": "net-1", "text": "The password of the network Falcon is lemon."},
    {"id": "lift", "text": "The lift was repaired in May."},
    {"id": "bar", "text": "The bar opens at six."},
]
EXPECTED = [
    {
        "[rooms-7] Room seven uses the network Falcon.",
        "[net-1] The password of the network Falcon is lemon.",
    }
]
"""The strongest interaction, which is positive."""


def main() -> ip.Explanation:
    """Explain the answer, and print which documents act together."""
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    game = ip.text.TextGame(
        model,
        tokenizer,
        DOCUMENTS,
        ip.text.Response(" lemon", score="prob"),
        by="document",
        prompt="{text}\n\nTherefore: In room seven, the password is",
    )
    explanation = ip.explain(game, budget=256, store="out/examples.db")
    print(explanation.faithfulness)
    print(explanation.interactions("FSII", order=2).top(5, min_order=2))
    return explanation


if __name__ == "__main__":
    main()
