"""Classifiers of torch, transformers and ONNX as functions of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from interplay.images import ImageGame, Resize, from_onnx, from_torch, from_transformers
from interplay.images.classifiers import scored
from interplay.images.pictures import Pixels

PHOTOS = np.random.default_rng(0).integers(0, 256, (3, 30, 40, 3), dtype=np.uint8)


def network(n_classes: int = 4) -> Any:
    import torch

    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 5, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        torch.nn.Linear(5, n_classes),
    ).eval()  # fmt: skip


def test_scores() -> None:
    logits = np.array([[1.0, 3.0, 0.0], [2.0, 2.0, -1.0]])
    assert scored(logits, "margin").tolist() == [[-2.0, 2.0, -3.0], [0.0, 0.0, -3.0]]
    assert scored(logits, "prob").sum(axis=1) == pytest.approx([1.0, 1.0])
    assert np.exp(scored(logits, "logprob")) == pytest.approx(scored(logits, "prob"))
    with pytest.raises(ValueError, match="use score='logit'"):
        scored(logits[:, :1], "margin")


def test_a_torch_module() -> None:
    import torch

    module, size = network(), Resize((16, 16))
    model = from_torch(module, size, labels="abcd", score="logprob")
    with torch.inference_mode():
        expected = module(torch.tensor(size(PHOTOS))).log_softmax(1)
    assert model(PHOTOS) == pytest.approx(expected.numpy(), abs=1e-5)
    # one by one as together
    assert np.concatenate([model(p[None]) for p in PHOTOS]) == pytest.approx(model(PHOTOS))
    game = ImageGame(model, PHOTOS[0], target="c")
    assert game.outputs == ("c",)
    again = from_torch(network(), size, labels="abcd", score="logprob")
    assert game.fingerprint == ImageGame(again, PHOTOS[0], target="c").fingerprint
    other = network()
    with torch.no_grad():
        other[0].bias[0] += 1
    prints = {
        from_torch(network(), size).fingerprint,
        from_torch(network(), Resize((8, 8))).fingerprint,
        from_torch(network(), size, score="prob").fingerprint,
        from_torch(other, size).fingerprint,
        from_torch(network(), lambda images: size(images), fingerprint="mine").fingerprint,
    }
    assert len(prints) == 5
    assert from_torch(network(), lambda images: size(images)).fingerprint is None
    with pytest.raises(ValueError, match=r"call model.eval\(\) first"):
        from_torch(network().train())
    with pytest.raises(ValueError, match="score='logits' is unknown"):
        from_torch(network(), score="logits")


def test_resize() -> None:
    plain = Resize((30, 40), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    assert (plain(PHOTOS) == PHOTOS.transpose(0, 3, 1, 2)).all()
    middle = Resize((14, 20), (0.0,) * 3, (1.0,) * 3, crop=0.5)  # type: ignore[arg-type]
    assert (middle(PHOTOS[:, 2:]) == PHOTOS[:, 9:23, 10:30].transpose(0, 3, 1, 2)).all()
    with pytest.raises(ValueError, match=r"uint8 \(b, h, w, 3\) is expected"):
        plain(PHOTOS.astype(float))
    with pytest.raises(ValueError, match="a crop above 0"):
        Resize(crop=0.0)


def test_a_classifier_of_transformers() -> None:
    import torch
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        image_size=16, patch_size=8, id2label={0: "cat", 1: "dog", 2: "bird"},
    )  # fmt: skip
    vit = ViTForImageClassification(config).eval()
    processor = ViTImageProcessorPil(size={"height": 16, "width": 16})
    model = from_transformers(vit, processor)
    inputs = processor(images=list(PHOTOS), return_tensors="pt")
    with torch.inference_mode():
        expected = vit(**inputs).logits.numpy()
    assert model(PHOTOS) == pytest.approx(expected, abs=1e-5)
    assert model.outputs == ("cat", "dog", "bird")
    game = ImageGame(model, PHOTOS[0], target="dog", against="cat", regions=(2, 2))
    assert game(np.ones((1, 4), dtype=bool))[0] == pytest.approx(
        expected[0, 1] - expected[0, 0], abs=1e-5
    )
    other = ViTImageProcessorPil(size={"height": 16, "width": 16}, do_normalize=False)
    assert from_transformers(vit, processor).fingerprint == model.fingerprint
    assert from_transformers(vit, other).fingerprint != model.fingerprint
    with torch.no_grad():
        vit.classifier.bias[0] += 1
    assert from_transformers(vit, processor).fingerprint != model.fingerprint


def written(path: Path, shape: list[int | str]) -> Path:
    """An ONNX model: the logits of three classes are the mean red, green and blue."""
    from onnx import TensorProto, checker, helper

    axes = [1, 2] if shape[3] == 3 else [2, 3]
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["logits"], axes=axes, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "means",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [shape[0], 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("shape", [["b", 3, 30, 40], ["b", 30, 40, 3], [1, 3, "h", "w"]])
def test_an_onnx_model(tmp_path: Path, shape: list[int | str]) -> None:
    path = written(tmp_path / "m.onnx", shape)
    plain: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (255.0, 255.0, 255.0)}
    if "h" in shape:
        assert from_onnx(path)(PHOTOS).shape == (3, 3)
        plain["size"] = (30, 40)
    model = from_onnx(path, labels=["red", "green", "blue"], **plain)
    expected: Pixels = PHOTOS.mean(axis=(1, 2)) / 255
    assert model(PHOTOS) == pytest.approx(expected, abs=1e-5)
    logs = from_onnx(path, probabilities=True, **plain)
    assert logs(PHOTOS) == pytest.approx(np.log(expected), abs=1e-5)
    assert logs.fingerprint != model.fingerprint


def test_onnx_models_that_take_no_images(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\(b, 3, h, w\) or \(b, h, w, 3\) is expected"):
        from_onnx(written(tmp_path / "m.onnx", ["b", 2, 2, 4]))
    (tmp_path / "n.onnx").write_bytes(b"no model")
    with pytest.raises(ValueError, match=r"n\.onnx is no ONNX model that can be read"):
        from_onnx(tmp_path / "n.onnx")
