"""Prints how many rows a store has of the game "two", read only: a process of its own."""

import sys

from interplay.ablation.store import Store

if __name__ == "__main__":
    with Store(sys.argv[1], read_only=True) as store:
        print(store.count("two"), store.caveats)
