"""An agent's tools and notes: which of them, together, make it choose the right tool.

The agent is a small loop around SmolLM2: it is shown its tools, its notes and a worked example,
chooses a tool and what to give it, reads the result and answers. Since the model is small, it
chooses among given words, by their probability. The agent is run again without some of what it has;
the score is the probability that it chooses "weather" first. The tools are functions, but a message
is never sent: ``Replay`` gives a stand-in for its result.

Run: python examples/agent_tools.py
"""

from dataclasses import replace

import numpy as np
import torch

import interplay as ip
from interplay.text import AgentGame, AgentRun, Replay, ToolChoice

QUESTION = "What is the weather where Anna is on Friday?"
WEATHER = {"Rome": "rain", "Bergen": "sun", "Oslo": "snow"}
ALWAYS = "weather: the weather in a town"
TOOLS = {
    "phone": "phone: the phone number of a person",
    "mail": "mail: sends a message",
    "map": "map: the way between two towns",
}
NOTES = {
    "home": "Anna lives in Rome.",
    "flight": "On Friday Anna flies to Bergen.",
    "hotel": "Anna has a hotel in Bergen.",
    "tea": "Ben likes tea.",
}
EXAMPLE = """Question: What is the phone number of Tom?
Tool: phone
Input: Tom
Result: 555 12
Answer: 555 12

"""
PLAYERS = TOOLS | NOTES | {"example": EXAMPLE}
EXPECTED = [{"example", "map"}]
"""The strongest interaction, positive: the example holds back a tool that is not needed."""


class Reader:
    """A text that grows, and the model's probabilities of what comes next."""

    def __init__(self, model, tokenizer) -> None:
        self.model, self.tokenizer, self.read = model, tokenizer, None

    def choose(self, text: str, options: list[str]) -> dict[str, float]:
        """Read on; return the share of each option, by the first token of each."""
        ids = torch.tensor([self.tokenizer(text)["input_ids"]])
        with torch.no_grad():
            output = self.model(ids, past_key_values=self.read, logits_to_keep=1)
        self.read = output.past_key_values
        first = [self.tokenizer(f" {option}")["input_ids"][0] for option in options]
        shares = output.logits[0, -1].double()[first].softmax(0)
        return dict(zip(options, shares.tolist(), strict=True))


def agent(model, tokenizer, call: Replay):
    """Make the agent: a function of what it has."""

    def run(kept: dict[str, str], seed: int) -> AgentRun:
        tools = ["weather", *(name for name in TOOLS if name in kept)]
        lines = [ALWAYS, *(kept[name] for name in tools[1:])]
        notes = [kept[name] for name in NOTES if name in kept]
        prompt = "\n".join(["Tools:", *lines, "", "Notes:", *notes, "", kept.get("example", "")])
        reader = Reader(model, tokenizer)
        chances = reader.choose(f"{prompt}Question: {QUESTION}\nTool:", tools)
        tool = max(chances, key=chances.get)
        inputs = list(WEATHER) if tool in ("weather", "map") else ["Anna", "Ben"]
        shares = reader.choose(f" {tool}\nInput:", inputs)
        done = replace(call(tool, of=max(shares, key=shares.get)), probabilities=chances)
        shares = reader.choose(
            f" {done.arguments['of']}\nResult: {done.result}\nAnswer:", list(WEATHER.values())
        )
        return AgentRun((done,), answer=max(shares, key=shares.get))

    return run


def main() -> ip.Explanation:
    """Explain the choice, test it, and print what the agent does without some of it."""
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    call = Replay(
        safe={"weather": lambda of: WEATHER[of], "map": lambda of: f"{of} is north."},
        stand_ins={"phone": "555 30", "mail": "Sent."},
    )
    run = agent(model, tokenizer, call)
    game = AgentGame(
        run,
        PLAYERS,
        ToolChoice("weather", score="prob"),
        safe_to_repeat=True,
        name="a loop of tools around SmolLM2, version 1",
        log="runs.jsonl",
    )
    explanation = ip.explain(game, budget=110, store="out/examples.db")
    print(explanation.faithfulness)
    print(explanation.interactions("FSII", order=3).top(5, min_order=2))
    print(explanation.confirm(top=2))
    print(game.usage)

    print("The agent calls, and answers:")
    for without in [(), ("example",), ("example", "map"), ("example", "map", "phone"), ("home",)]:
        kept = {name: text for name, text in PLAYERS.items() if name not in without}
        done = run(kept, 0)
        mask = np.array([[name in kept for name in game.players]])
        what = f"{done.calls[0].tool}({done.calls[0].arguments['of']})"
        print(f"  without {' and '.join(without) or 'nothing'}: {what}, {done.answer}", end="")
        print(f"; probability of weather {game(mask)[0]:.2f}")
    return explanation


if __name__ == "__main__":
    main()
