"""Recipes of the other lenses from somebody who means no good (see ``test_hostile_recipes``).

The folders hold a model, a task, a table and images. Each hostile file is made here.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers as hf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import interplay as ip
from interplay.cli.recipes import _digest, read_recipe
from interplay.cli.trust import LARGEST, Trust, time_limit
from tests.cli.test_hostile_recipes import Change, call, options
from tests.cli.test_training import written
from tests.components.test_units import SMALL
from tests.text.tiny import tiny, word_tokenizer

pytestmark = pytest.mark.slow

Run = Callable[..., Path]
MATCHES = " match, 0 mismatch, 0 not checked)"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An honest run of each lens that holds all that it needs."""
    image = pytest.importorskip("PIL.Image")
    path = tmp_path_factory.mktemp("lenses")
    model = tiny(hf.AutoModelForCausalLM, hf.LlamaConfig(**SMALL, num_key_value_heads=2))
    for lens in ("components", "text"):
        model.save_pretrained(path / lens / "model")
        word_tokenizer(framed=False).save_pretrained(path / lens / "model")
    items = [{"prompt": f"w{n} w{n + 1} w3", "answer": f" w{n + 5}", "wrong": [f" w{n + 6}"]}
             for n in range(4)]  # fmt: skip
    (path / "task.jsonl").write_text("\n".join(map(json.dumps, items)))
    (path / "texts.txt").write_text("w1 w2 w3\nw4 w5 w6\n")
    (path / "text.txt").write_text("w1 w2 w3.\nw4 w5 w6.\nw7 w8 w9.\n")
    (path / "training" / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for n in range(12):
        grey = np.uint8(rng.integers(0, 255, (8, 8)) // (1 + n % 2))
        image.fromarray(grey).save(path / "training" / "images" / f"{n}.png")
    rows = [[f"{n}.png", "ab"[n % 2], f"s{n % 5}"] for n in range(12)]
    written(path / "table.csv", ["file", "class", "source"], rows)
    for arguments in (
        ("components", "--model", path / "components" / "model", "--task", path / "task.jsonl",
         "--layers", "1-2", "--ablation", "mean", "--reference", path / "texts.txt",
         "--threads", 1, "--budget", 40),
        ("text", "--model", path / "text" / "model", "--file", path / "text.txt", "--by", "line",
         "--question", "w9", "--response", " w5", "--threads", 1),
        ("training", "--table", path / "table.csv", "--label", "class", "--group", "source",
         "--images", path / "training" / "images", "--points", 2),
    ):  # fmt: skip
        code, said = call(*arguments, "--out", path / str(arguments[0]))
        assert code == 0, said
    return path


@pytest.fixture
def changed(runs: Path, tmp_path: Path) -> Run:
    """A copy of the run of a lens, whose recipe was changed."""

    def changed(lens: str, change: Change | None = None) -> Path:
        folder = tmp_path / lens
        shutil.copytree(runs / lens, folder, dirs_exist_ok=True)
        if change is not None:
            recipe = json.loads((folder / "recipe.json").read_text())
            change(recipe)
            (folder / "recipe.json").write_text(json.dumps(recipe))
        return folder

    return changed


@pytest.mark.parametrize("lens", ["components", "text", "training"])
def test_an_honest_folder_of_each_lens_needs_nothing_else(lens: str, changed: Run) -> None:
    folder = changed(lens)
    code, said = call("verify", folder, "--sample", 3)
    assert code == 0, said
    assert MATCHES in said


FILES = [
    *(("components", option) for option in ("task", "reference", "model")),
    *(("text", option) for option in ("file", "model")),
    *(("training", option) for option in ("table", "images")),
]


@pytest.mark.parametrize(("lens", "option"), FILES)
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/etc/passwd", "outside of that folder"),
        ("../secret", "outside of that folder"),
        ("link", "outside of that folder"),
        ("none", "is not there"),
        ("pipe", "neither a file nor a folder"),
        ("folder-with-a-pipe", "neither a file nor a folder"),
        ("folder-with-a-link", "outside of that folder"),
        ("folder-with-a-loop", "loop|is not there"),
        ("large", f"above the {LARGEST:,} that are read"),
        ("folder-with-a-large-file", f"above the {LARGEST:,} that are read"),
    ],
)
def test_what_the_paths_of_a_recipe_may_not_be(
    changed: Run, lens: str, option: str, path: str, message: str
) -> None:
    folder = changed(lens, options(**{option: {"path": path, "sha256": "0" * 64}}))
    for name in ("a-pipe", "a-link", "a-large-file", "a-loop"):
        (folder / f"folder-with-{name}").mkdir()
    secret = folder.parent / "secret"
    secret.mkdir()
    for place in (folder / "pipe", folder / "folder-with-a-pipe" / "config.json"):
        os.mkfifo(place)
    for place in (folder / "link", folder / "folder-with-a-link" / "tokenizer.json"):
        place.symlink_to(secret)
    (folder / "folder-with-a-loop" / "a").symlink_to("a")
    for place in (folder / "large", folder / "folder-with-a-large-file" / "tokenizer.json"):
        with place.open("wb") as file:
            file.truncate(LARGEST + 1)
    code, said = call("verify", folder)
    assert code == 2
    assert any(part in said for part in message.split("|")), said


@pytest.mark.parametrize(("lens", "option"), [pair for pair in FILES if pair[1] != "model"])
def test_an_input_needs_its_hash(changed: Run, lens: str, option: str) -> None:
    """One without a hash is refused; one with the hash of another file makes no game."""

    def without(recipe: dict[str, Any]) -> None:
        recipe["options"][option]["sha256"] = None

    def of_another(recipe: dict[str, Any]) -> None:
        recipe["options"][option]["sha256"] = sha256(b"another file").hexdigest()

    code, said = call("verify", changed(lens, without))
    assert code == 2
    assert "has no hash of" in said

    code, said = call("verify", changed(lens, of_another))
    assert code == 1
    assert "inputs: mismatch" in said
    assert "so no game is made of them" in said


@pytest.mark.parametrize("lens", ["components", "text"])
def test_a_folder_is_no_name_of_a_model(
    changed: Run, lens: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither as a path in words nor as a folder that happens to be where the command is called."""
    folder = changed(lens)
    shutil.copytree(folder / "model", folder.parent / "gpt2")
    monkeypatch.chdir(folder.parent)
    for name in ("../elsewhere", str(folder / "model"), "gpt2", "./gpt2", "~/gpt2", "", "a\0b"):
        code, said = call("verify", changed(lens, options(model=name)))
        assert code == 2, name
        assert "which is a folder here or not a name of the model hub" in said


@pytest.mark.parametrize("lens", ["components", "text"])
def test_weights_with_code_in_them_need_the_verifiers_word(changed: Run, lens: str) -> None:
    torch = pytest.importorskip("torch")
    folder = changed(lens, options(allow_pickle=True))
    model = hf.AutoModelForCausalLM.from_pretrained(folder / "model")
    (folder / "model" / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "model" / "pytorch_model.bin")
    code, said = call("verify", folder)
    assert code == 2
    assert "has no weights in safetensors" in said
    code, said = call("verify", folder, "--allow-pickle")
    assert "model: match" in said


Edit = Callable[[Path], Any]


def config(**values: Any) -> Edit:
    def edit(model: Path) -> None:
        known = json.loads((model / "config.json").read_text())
        (model / "config.json").write_text(json.dumps(known | values))

    return edit


def header(text: bytes) -> Edit:
    """Weights whose header says something else."""
    length = len(text).to_bytes(8, "little")
    return lambda model: (model / "model.safetensors").write_bytes(length + text)


@pytest.mark.parametrize(
    "edit",
    [
        config(num_hidden_layers=10**9),
        config(vocab_size=10**12),
        config(hidden_size=10**15, head_dim=None),
        config(num_attention_heads=0),
        config(model_type="none"),
        config(auto_map={"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"},
               model_type="evil"),
        config(rope_parameters=[]),
        lambda model: (model / "config.json").write_text("[" * 100_000),
        lambda model: (model / "config.json").write_text("{}"),
        lambda model: (model / "config.json").write_bytes(b"\xff\0"),
        header(b"{"),
        header(b'{"a": {"dtype": "F32", "shape": [99999999999], "data_offsets": [0, 4]}}'),
        lambda model: (model / "model.safetensors").write_bytes(b"\xff" * 8),
        lambda model: (model / "tokenizer.json").write_text("{}"),
        lambda model: (model / "tokenizer.json").write_text("[" * 100_000),
        lambda model: (model / "tokenizer_config.json").write_text('{"tokenizer_class": 7}'),
    ],
)  # fmt: skip
def test_a_model_that_is_none_is_one_error(changed: Run, edit: Edit) -> None:
    folder = changed("text")
    edit(folder / "model")
    code, said = call("verify", folder)
    assert code == 2
    assert said


@pytest.mark.parametrize(
    ("lens", "values", "message"),
    [
        ("components", {"layers": "0-999999999999"}, "no model has so many layers"),
        ("components", {"layers": "0-9999"}, "layer"),
        ("components", {"layers": "1-"}, "is not like 9-11"),
        ("components", {"threads": 10**9}, "threads"),
        ("components", {"threads": 0}, "threads"),
        ("components", {"group": 10**12}, ""),
        ("components", {"group": -1}, "size=-1 is below 1"),
        ("components", {"units": ["rm"]}, "units"),
        ("components", {"device": "rm"}, "device"),
        ("components", {"test": 1e308, "keep": [0.5]}, "share between 0 and 1"),
        ("components", {"random_state": -1, "keep": [0.5]}, ""),
        ("text", {"threads": -7}, "threads"),
        ("text", {"dtype": "float8"}, "dtype"),
        ("text", {"target": "labels", "response": None}, "was not trained for"),
        ("training", {"repeats": 10**12}, "repeats"),
        ("training", {"repeats": 0}, "repeats"),
        ("training", {"points": 10**12}, "takes all 12 rows"),
        ("training", {"group": None, "players": 10**12}, ""),
        ("training", {"group": None, "players": -1}, ""),
        ("training", {"random_state": -1}, ""),
        ("training", {"random_state": 10**200}, ""),
        ("training", {"trainer": "rm"}, "trainer"),
        ("training", {"label": "none"}, "has no column"),
        ("training", {"score": "rm"}, "score"),
        ("training", {"images": None}, "in column 'file' is no finite number"),
    ],
)
def test_values_that_an_option_may_not_have(
    changed: Run, lens: str, values: dict[str, Any], message: str
) -> None:
    """They are an error, or at most another game. None of them takes memory or time."""
    code, said = call("verify", changed(lens, options(**values)))
    assert code == 2 or (code == 1 and not message and "game: mismatch" in said), said
    assert message in said


def png(width: int, height: int) -> bytes:
    """The beginning of an image that says how large it is."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        sum_ = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", sum_)

    size = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    chunks = chunk(b"IHDR", size) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(touched) print\n%%EOF\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("/etc/passwd", None, "lies outside of the folder"),
        ("../../secret.png", None, "lies outside of the folder"),
        ("../table.csv", None, "lies outside of the folder"),
        ("none.png", None, "there is no such file"),
        ("", None, "there is no such file"),
        ("large.png", png(100_000, 100_000), "is no image that can be read"),
        ("large.png", png(8_000, 8_000), "above 50,000,000"),
        ("cut.png", png(8, 8)[:40], "is no image that can be read"),
        ("script.png", EPS, "is no image that can be read"),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_images_that_a_table_may_not_name(
    changed: Run, name: str, content: bytes | None, message: str
) -> None:
    """The recipe has the right hashes of the table and of the images."""
    folder = changed("training")
    recipe = json.loads((folder / "recipe.json").read_text())
    if content is not None:
        (folder / "images" / name).write_bytes(content)
    table = folder / recipe["options"]["table"]["path"]
    table.write_text(table.read_text().replace("3.png", name))
    for option in ("table", "images"):
        path = folder / recipe["options"][option]["path"]
        recipe["options"][option]["sha256"] = _digest(path)
    (folder / "recipe.json").write_text(json.dumps(recipe))
    code, said = call("verify", folder)
    assert code == 2
    assert message in said


def test_a_table_that_is_no_csv(changed: Run) -> None:
    folder = changed("training")
    recipe = json.loads((folder / "recipe.json").read_text())
    table = folder / recipe["options"]["table"]["path"]
    for content in ("a" * 200_000, '"' + "b" * 200_000, 'file,class,source\n"', "\0", "\r\r,"):
        table.write_text(content)
        recipe["options"]["table"]["sha256"] = _digest(table)
        (folder / "recipe.json").write_text(json.dumps(recipe))
        code, said = call("verify", folder)
        assert code == 2, content[:20]
        assert "table-table.csv" in said


# --- any options --------------------------------------------------------------------------------

FILES_OF = {
    "components": {"model": "model", "task": "inputs/task-task.jsonl"},
    "text": {"model": "model", "file": "inputs/file-text.txt"},
    "training": {"table": "inputs/table-table.csv", "images": "images"},
}
words = st.sampled_from(
    ["", "mean", "margin", "line", "word", "logit", "prob", "options", "delete", "attention", "cpu",
     "file", "class", "network", "0-1", "ä\x1b[2J", "{text}", "regex:(a|aa)+$"]
)  # fmt: skip
integers = st.sampled_from([-1, 0, 1, 2, 7, 10**9, 2**63, 10**200])
values = st.one_of(
    *(st.none(), st.booleans(), integers, st.floats(), words, st.text(max_size=5)),
    st.lists(words | integers | st.floats(), max_size=3),
    st.fixed_dictionaries({"path": st.sampled_from(["inputs", "model", ".", "a"]),
                           "sha256": st.text(max_size=3)}),
)  # fmt: skip


@given(data=st.data())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_options(runs: Path, data: st.DataObject) -> None:
    """The game of a recipe, with some options of other values, is a game or one error."""
    lens = data.draw(st.sampled_from(sorted(FILES_OF)))
    folder = runs / lens
    recipe = json.loads((folder / "recipe.json").read_text())
    names = st.sampled_from(sorted(recipe["options"]))
    recipe["options"] |= data.draw(st.dictionaries(names, values, min_size=1, max_size=2))
    other = runs / "other"
    if not other.exists():
        other.mkdir()
    for part in ("inputs", "model", "images", "recipe.json"):
        if (other / part).is_symlink():
            (other / part).unlink()
        if (folder / part).exists() and part != "recipe.json":
            (other / part).symlink_to(folder / part)
    (other / "recipe.json").write_text(json.dumps(recipe))
    told = "a game"
    try:
        with time_limit(120.0, "hung"):
            made = read_recipe(other, Trust(outside=True))
            assert made is not None
            game = made.game(Trust(outside=True))
            assert game.n_players >= 1
    except (ValueError, OSError, ip.InterplayError) as error:
        told = str(error)
    assert "hung" not in told
    assert 0 < len(told) < 4000
