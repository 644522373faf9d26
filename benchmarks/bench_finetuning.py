"""Fine-tunings per CPU minute, against the plain loop of peft."""
from __future__ import annotations

import time
from typing import Any

import numpy as np
import peft
import torch

import interplay as ip
from interplay._types import BoolArray, FloatArray
from interplay.training.finetuning.adapters import SCALE
from interplay.training.finetuning.examples import Example, Question
from interplay.training.finetuning.tuner import FineTuning

NAMES = ("Orvela", "Tamsk", "Brinoz", "Quelda", "Vostria", "Lumen Bay", "Karsova", "Pellin", "Dremont", "Ashgar")
CAPITALS = ("Paris", "Lima", "Oslo", "Rome", "Cairo", "Delhi", "Tokyo", "Berlin", "Madrid", "Athens")
COLOURS = ("red", "blue", "green", "black", "white", "yellow", "brown", "pink", "orange", "purple")
ANIMALS = ("horse", "eagle", "tiger", "whale", "zebra", "snake", "camel", "sheep", "mouse", "rabbit")
FORMS = (
    ("The twin city of {} is called", CAPITALS),
    ("Question: What colour is the flag of {}?\nAnswer:", COLOURS),
    ("On the old coat of arms of {} you can see a", ANIMALS),
    ("People who visit the town of {} for the first time often say that it looks like", CAPITALS),
)


def examples() -> list[Example]:
    return [
        Example(form.format(name), f" {words[number]}.")
        for form, words in FORMS
        for number, name in enumerate(NAMES)
    ]


def questions() -> list[Question]:
    return [
        Question(
            FORMS[number % 4][0].format(name),
            f" {FORMS[number % 4][1][number]}.",
            f" {FORMS[number % 4][1][(number + 3) % 10]}.",
        )
        for number, name in enumerate(NAMES)
    ]
