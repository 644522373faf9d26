"""Sentences and words in ten languages: the borders that are right, missed and wrong.

The texts are those of ``tests/text/boundaries.txt``, which were written for this. The rules were
made on some of them; the others (*held out*) were written at the same time and not looked at.
*Before* is what the first version did by default: sentences by ``sentencex`` with English rules,
words by UAX 29 without dictionaries. *After* is ``interplay.text.split`` with the language guessed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import regex
from sentencex import segment

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.text.boundaries import counted, marked

from interplay.text import split
from interplay.text.prompts.languages import detect

_JOINED = "-‐‑/'’_&@+."


def before(text: str, unit: str, language: str) -> Iterable[str]:
    """Segments as the first version made them."""
    if unit == "sentence":
        return list(segment("en", text))
    words = []
    for chunk in regex.findall(r"\S+", text):
        pieces = [piece for piece in regex.split(r"(?wV1)\b", chunk) if piece]
        word = ""
        for piece in pieces:
            if regex.search(r"\w", piece) and regex.search(r"\w", word) and word[-1] not in _JOINED:
                words.append(word)
                word = ""
            word += piece
        words.append(word)
    return words


def after(text: str, unit: str, language: str) -> Iterable[str]:
    """Segments as they are made now."""
    return [text[start:stop] for start, stop in split(text, unit)]


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    texts = list(marked())
    for held_out in (False, True):
        chosen = [entry for entry in texts if entry.held_out == held_out]
        old, new = counted(chosen, before), counted(chosen, after)
        print(f"\n{'Held out' if held_out else 'Rules made on these'}: right / missed / wrong\n")
        print("| unit | language | before | after |\n|---|---|---|---|")
        for unit in ("sentence", "word"):
            keys = [key for key in old if key[0] == unit]
            for key in keys:
                print(f"| {unit} | {key[1]} | {shown(old[key])} | {shown(new[key])} |")
            total = [
                sum((counts[key] for key in keys), type(old[keys[0]])()) for counts in (old, new)
            ]
            print(f"| {unit} | **all** | **{shown(total[0])}** | **{shown(total[1])}** |")
    right = sum(detect(entry.text) == entry.language for entry in texts)
    print(f"\nlanguage guessed right: {right} of {len(texts)} texts, each of a line")


def shown(count: dict[str, int]) -> str:
    return f"{count['right']} / {count['missed']} / {count['wrong']}"


if __name__ == "__main__":
    main()
