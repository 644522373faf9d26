"""Requests per second of vLLM with and without its prefix cache, in three orders of the masks.

*Shuffled* is a random order. *Calls* is the order in which an explanation asks: in a random order
of calls of 32 masks, each of which is sorted, so that neighbours share long prefixes. *All sorted*
is one sorted list, which would make an interrupted run an unfair sample. The masks are the same,
and the cache is emptied in between. In brackets stands the share of the prompts' tokens that vLLM
took from its cache, which does not depend on what else the machine does. vLLM runs on this
machine's CPU, with the packaged model in float32.
"""

from __future__ import annotations

import argparse
import time
import urllib.request
import warnings
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import numpy as np
from tests.servers.processes import vllm

import interplay as ip
from interplay.cli.demo import CASES
from interplay.fourier.masks import sorted_by_prefix, uniform
from interplay.text import ApiGame, Options, Response
from interplay.text.api import game as api_game

WARD = next(case.text for case in CASES if case.name == "handover")
PATIENTS = {
    "Hill": "penicillin",
    "Young": "latex",
    "Stone": "aspirin",
    "Reed": "iodine",
    "Lake": "codeine",
    "Field": "nickel",
    "Wood": "morphine",
    "Marsh": "insulin",
    "Brook": "heparin",
    "Moor": "quinine",
    "Ford": "lithium",
    "Dale": "digoxin",
}
DOCUMENTS = [
    {"id": name, "text": WARD[: len(WARD) // 3].replace("Hill", name).replace("penicillin", drug)}
    for name, drug in PATIENTS.items()
]
PROMPT = (
    "You read reports from a hospital ward. Say in one word which medicine Mrs Hill must not be "
    "given because she is allergic to it.\n\n{text}\n\nAnswer:"
)
METHODS = ("top_logprobs", "echo")
ORDERS = ("shuffled", "calls", "all sorted")


def empty_cache(url: str) -> None:
    request = urllib.request.Request(url.removesuffix("/v1") + "/reset_prefix_cache", b"")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60):
        pass


def counted(url: str) -> tuple[float, float]:
    """The prompts' tokens so far, and those of them that came from the cache, as vLLM counts."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
        url.removesuffix("/v1") + "/metrics", timeout=60
    ) as reply:
        lines = reply.read().decode().splitlines()
    queried, taken = (
        sum(float(line.split()[-1]) for line in lines if line.startswith(f"vllm:{name}"))
        for name in ("prefix_cache_queries_total", "prefix_cache_hits_total")
    )
    return queried, taken


def measure(url: str, method: str, order: str, n_masks: int) -> tuple[float, float, float]:
    """The requests per second, the share of tokens from the cache, and the mean of the values."""
    game = ApiGame(
        "smollm2",
        DOCUMENTS,
        # one request for each ablation by either method
        Response(" penicillin") if method == "echo" else Options((" penicillin", " latex")),
        base_url=url,
        by="document",
        prompt=PROMPT,
        method=method,
        top_logprobs=50,
        allow_bounds=method == "top_logprobs",
    )
    masks = uniform(n_masks, game.n_players, np.random.default_rng(0))
    if order == "all sorted":
        masks = masks[sorted_by_prefix(masks)]
    empty_cache(url)
    (tokens, hits), start = counted(url), time.perf_counter()
    with ExitStack() as stack:
        if order == "shuffled":
            as_given = mock.patch.object(api_game, "sorted_by_prefix", lambda m: range(len(m)))
            stack.enter_context(as_given)
        size = game.batch_size
        values = np.concatenate([game(masks[at : at + size]) for at in range(0, n_masks, size)])
    rate = game.usage.requests / (time.perf_counter() - start)
    all_tokens, all_hits = counted(url)
    share = (all_hits - hits) / max(all_tokens - tokens, 1)
    return rate, share, float(values.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--masks", type=int, default=64)
    n_masks = parser.parse_args().masks
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    folder = Path(model.name_or_path)
    tokens = sum(len(tokenizer(document["text"])["input_ids"]) for document in DOCUMENTS)
    print(f"{tokens} tokens in {len(DOCUMENTS)} documents, {n_masks} masks")
    print("| cache | method |", " | ".join(ORDERS), "|")
    print("|---" * (2 + len(ORDERS)) + "|")
    warnings.simplefilter("ignore")  # of bounds: here only the time counts
    for cache, argument in (
        ("on", "--enable-prefix-caching"),
        ("off", "--no-enable-prefix-caching"),
    ):
        # blocks of 32 tokens, as about on GPUs; on CPUs the default is 128
        more = ("--block-size", "32", "--max-model-len", "4096")
        with vllm(folder, argument, *more) as url:
            for method in METHODS:
                results = [measure(url, method, order, n_masks) for order in ORDERS]
                rates = " | ".join(f"{rate:.2f} ({share:.0%})" for rate, share, _ in results)
                print(f"| {cache} | `{method}` | {rates} |", flush=True)
                means = [mean for *_, mean in results]
                assert np.ptp(means) < 1e-4, means


if __name__ == "__main__":
    main()
