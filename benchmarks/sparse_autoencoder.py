"""A TopK sparse autoencoder of SmolLM2-135M's hidden states after one layer, trained in minutes.

No trained one comes with a package, so this makes one to test and to show the components lens with
(docs/case-studies/latents.md). It reads Python's manual, which Python brings along, and sentences
that are made here. Plain PyTorch on one thread.

Run: python benchmarks/sparse_autoencoder.py --layer 14 --out out/latents/sae-14.safetensors
"""

from __future__ import annotations

import argparse
import pydoc_data.topics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

import interplay as ip
from interplay.components.architecture import find_architecture
from interplay.components.patching import ending_before

N_LATENTS, N_ACTIVE = 2048, 24
N_SENTENCES = 8_000
MANUAL_TOKENS = 60_000
WINDOW = 64
STEPS, BATCH, RATE = 1_500, 512, 2e-3
AUXILIARY = 256
"""Latents that have been silent for long, so many at a time, learn what the others leave."""
SILENT = 50
"""Steps after which a latent counts as silent."""


class TopK(torch.nn.Module):
    """A sparse autoencoder that keeps the k largest latents of each token (Gao et al. 2024).

    encode(x) = the k largest of max(0, (x - b) W + c); decode(z) = z D + b.
    """

    def __init__(self, width: int, n_latents: int = N_LATENTS, k: int = N_ACTIVE) -> None:
        super().__init__()
        directions = torch.randn(n_latents, width, generator=torch.Generator().manual_seed(0))
        directions /= directions.norm(dim=1, keepdim=True)
        self.decoder = torch.nn.Parameter(directions)
        self.encoder = torch.nn.Parameter(directions.T.clone())
        self.offset = torch.nn.Parameter(torch.zeros(n_latents))
        self.centre = torch.nn.Parameter(torch.zeros(width))
        self.k = k

    def before(self, states: torch.Tensor) -> torch.Tensor:
        """All latents before the k largest are chosen."""
        return ((states - self.centre) @ self.encoder + self.offset).relu()

    def encode(self, states: torch.Tensor) -> torch.Tensor:
        return largest(self.before(states), self.k)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return latents @ self.decoder + self.centre


def largest(latents: torch.Tensor, k: int) -> torch.Tensor:
    kept = latents.topk(k, dim=-1)
    return torch.zeros_like(latents).scatter(-1, kept.indices, kept.values)


# --- text -----------------------------------------------------------------------------------------


def words(text: str) -> list[str]:
    return text.split()


SINGULAR = words(
    "key cabinet author farmer dog river window letter teacher road garden painting engine child "
    "king door island bridge captain song market tower ticket player flower picture machine story "
    "city doctor guest cup manager ship village nurse rule friend answer train lamp wall branch"
)
IRREGULAR = {"child": "children", "branch": "branches", "story": "stories", "city": "cities"}
PLURAL = [IRREGULAR.get(noun, noun + "s") for noun in SINGULAR]
LINKS = words("of near behind with beside under above from for to in on about")
BEGINNINGS = ("", "", "", "In the morning ", "At night ", "I think ", "Every day ", "Last year ")
ADJECTIVES = ("", "", "", "old ", "new ", "big ", "young ", "famous ", "cold ", "red ")
VERBS = (("is", "are"), ("was", "were"), ("has", "have"), ("does", "do"), ("seems", "seem"),
         ("looks", "look"), ("needs", "need"), ("comes", "come"))  # fmt: skip
ENDS = {
    "be": ("very old", "not here", "in the house", "too small", "ready", "often discussed"),
    "have": ("been here for years", "a new name", "changed again", "no end"),
    "do": ("not matter", "not look the same", "not stay for long"),
    "look": ("good", "much better today", "like the others"),
    "need": ("some help", "more time", "to be cleaned"),
    "come": ("from the north", "later", "with the rain"),
}
FORMS = {"is": "be", "was": "be", "has": "have", "does": "do", "seems": "look", "looks": "look",
         "needs": "need", "comes": "come"}  # fmt: skip


def sentences(rng: np.random.Generator, n: int) -> Iterator[str]:
    """Made sentences whose verb agrees with the first of two nouns."""

    def pick(items: Sequence[Any]) -> Any:
        return items[int(rng.integers(len(items)))]

    for _ in range(n):
        subject, other = (pick((SINGULAR, PLURAL)) for _ in range(2))
        singular, plural = pick(VERBS)
        verb = singular if subject is SINGULAR else plural
        start = pick(BEGINNINGS)
        article = pick(("the ", "my ", "the ")) if start else pick(("The ", "My ", "The "))
        phrase = f"{start}{article}{pick(ADJECTIVES)}{pick(subject)} {pick(LINKS)} the "
        yield f"{phrase}{pick(ADJECTIVES)}{pick(other)} {verb} {pick(ENDS[FORMS[singular]])}."


def texts(tokenizer: Any, rng: np.random.Generator) -> list[list[int]]:
    """Token ids of all texts, in windows."""
    windows = list(tokenizer(list(sentences(rng, N_SENTENCES)))["input_ids"])
    manual = "\n".join(pydoc_data.topics.topics.values())
    ids = tokenizer(manual)["input_ids"][:MANUAL_TOKENS]
    return windows + [ids[at : at + WINDOW] for at in range(0, len(ids) - WINDOW, WINDOW)]


# --- training -------------------------------------------------------------------------------------


def hidden_states(model: Any, windows: Sequence[list[int]], layer: int) -> torch.Tensor:
    """Hidden states after a layer, ``(tokens, width)``.

    First tokens are left out: their states are a hundred times larger than all others.
    """
    architecture = find_architecture(model)
    by_length: dict[int, list[list[int]]] = {}
    for ids in windows:
        by_length.setdefault(len(ids), []).append(ids)
    parts = []
    with torch.inference_mode():
        for length, rows in sorted(by_length.items()):
            size = max(512 // length, 1)
            for at in range(0, len(rows), size):
                with ending_before(architecture, layer + 1) as states:
                    model(input_ids=torch.tensor(rows[at : at + size]), use_cache=False)
                parts.append(states[0][:, 1:].flatten(0, 1))
    return torch.cat(parts).clone()


def train(states: torch.Tensor, steps: int = STEPS) -> TopK:
    sae = TopK(states.shape[1])
    with torch.no_grad():
        sae.centre.copy_(states.mean(dim=0))
    variance = float((states - states.mean(dim=0)).square().sum(dim=1).mean())
    optimiser = torch.optim.Adam(sae.parameters(), lr=RATE, betas=(0.9, 0.99))
    rates = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / 50, 5 * (1 - step / steps), 1.0)
    )
    rng = np.random.default_rng(1)
    last_active = torch.zeros(N_LATENTS)
    for step in range(steps):
        batch = states[torch.from_numpy(rng.integers(len(states), size=BATCH))]
        before = sae.before(batch)
        latents = largest(before, sae.k)
        error = batch - sae.decode(latents)
        loss = error.square().sum(dim=1).mean() / variance
        last_active[latents.detach().any(dim=0)] = step
        silent = step - last_active > SILENT
        if int(silent.sum()) > AUXILIARY // 4:
            chosen = largest(before * silent, min(AUXILIARY, int(silent.sum())))
            rest = error.detach() - chosen @ sae.decoder
            loss = loss + rest.square().sum(dim=1).mean() / variance / 32
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rates.step()
        with torch.no_grad():
            sae.decoder /= sae.decoder.norm(dim=1, keepdim=True)
        if step % 100 == 99:
            explained = 1 - float(error.detach().square().sum(dim=1).mean()) / variance
            print(f"step {step + 1}: explains {explained:.3f}, {int(silent.sum())} silent")
    return sae.requires_grad_(False).eval()


def explained(sae: TopK, states: torch.Tensor) -> float:
    """The share of the variance that the reconstruction explains."""
    error = (states - sae.decode(sae.encode(states))).square().sum()
    return float(1 - error / (states - states.mean(dim=0)).square().sum())


def load(path: Path) -> TopK:
    weights = load_file(path)
    sae = TopK(len(weights["centre"]))
    sae.load_state_dict(weights)
    return sae.requires_grad_(False).eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layer", type=int, default=14)
    parser.add_argument("--out", type=Path, default=Path("out/latents/sae-14.safetensors"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    started = time.process_time()
    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    rng = np.random.default_rng(0)
    windows = texts(tokenizer, rng)
    order = rng.permutation(len(windows))
    windows = [windows[n] for n in order]
    n_test = len(windows) // 20
    states = hidden_states(model, windows[n_test:], given.layer)
    test = hidden_states(model, windows[:n_test], given.layer)
    print(f"{len(states)} states, {time.process_time() - started:.0f} CPU s")
    sae = train(states)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in sae.state_dict().items()}, given.out)
    print(
        f"on {len(test)} states of texts that took no part the reconstruction explains "
        f"{explained(sae, test):.3f} of the variance; {time.process_time() - started:.0f} CPU s"
    )


if __name__ == "__main__":
    main()
