"""Extension points: where a package of somebody else's joins in, without a change to this one.

Each point is a group of standard entry points. A package that is installed beside Interplay says in
its ``pyproject.toml``::

    [project.entry-points."interplay.decoders"]
    mine = "my_package.decoder:MINE"

and ``interplay.explain(game, decoder="mine")`` uses it, as does ``interplay text --decoder mine``.
docs/extending.md has a worked example of each.

===========  =======================  ==========================================================
here         group                    what the entry point names
===========  =======================  ==========================================================
DECODERS     ``interplay.decoders``   an :class:`interplay.decoders.base.Decoder`
INDICES      ``interplay.indices``    an :class:`interplay.fourier.indices.Index`
BACKENDS     ``interplay.backends``   a class that makes an
                                      :class:`interplay.ablation.backends.base.Backend`
MASKINGS     ``interplay.maskings``   an :class:`interplay.text.prompts.masking.Masking`
EXPORTS      ``interplay.exports``    a function of ``[(title, explanation), ...]`` to a text
COMMANDS     ``interplay.commands``   an :class:`interplay.cli.options.LensOptions`: a lens
===========  =======================  ==========================================================

What Interplay brings itself stands below in the same form. A name is imported when it is first
used, so that this module imports nothing of the package and everything may import it.
"""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, TypeAlias

DecoderName: TypeAlias = Literal["auto", "gp", "proxyspex", "spex", "lasso", "exact"]
IndexName: TypeAlias = Literal[
    "Fourier", "Moebius", "Co-Moebius", "BII", "BV", "SII", "SV", "k-SII", "STII", "FSII", "FBII"
]
BackendName: TypeAlias = Literal["local", "ray"]
MaskingName: TypeAlias = Literal["delete", "mask_token", "attention"]


def nearest(name: str, known: Iterable[str]) -> str:
    """`` (did you mean 'budget'?)``, or nothing where no known name is like this one."""
    spelt = {one.casefold(): one for one in known}
    close = get_close_matches(str(name).casefold(), list(spelt), n=1)
    return f" (did you mean {spelt[close[0]]!r}?)" if close else ""


def unknown(parameter: str, name: str, known: Iterable[str]) -> ValueError:
    """The error for a name that is none of those known."""
    listed = list(known)
    return ValueError(
        f"{parameter}={name!r} is unknown; choose one of {', '.join(listed)}{nearest(name, listed)}"
    )


def check_known(parameter: str, name: str, known: Iterable[str]) -> None:
    """Check that a name is one of those known.

    Raises:
        ValueError: it is none (:func:`unknown`).
    """
    listed = list(known)
    if name not in listed:
        raise unknown(parameter, name, listed)


def lazily(
    package: str, places: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make ``__getattr__`` and ``__dir__`` of a package whose names are imported when first used.

    Args:
        package: its ``__name__``.
        places: where each name comes from: ``"module"`` or ``"module:attribute"``. The modules of
            the package's folder are names too.
    """
    known = dict(places or {})

    def listed() -> list[str]:
        beside = (entry.name for entry in pkgutil.iter_modules(sys.modules[package].__path__))
        return sorted({*known, *(name for name in beside if not name.startswith("_"))})

    def imported(name: str) -> Any:
        if name.startswith("_"):  # of Python's own machinery, which asks whether it is there
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if name not in known and name not in listed():
            names = listed()
            raise AttributeError(
                f"module {package!r} has no attribute {name!r}; there are "
                f"{', '.join(names)}{nearest(name, names)}"
            )
        module, _, attribute = known.get(name, f"{package}.{name}").partition(":")
        value = import_module(module)
        value = getattr(value, attribute) if attribute else value
        setattr(sys.modules[package], name, value)
        return value

    return imported, listed


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


@dataclass(frozen=True)
class ExtensionPoint(Mapping[str, Any]):
    """Names, and what they stand for: Interplay's own first, then those of installed packages.

    Attributes:
        parameter: the argument in which users write such a name, for errors.
        group: the group of entry points.
        own: Interplay's own, as ``"module:attribute"``.
        aliases: other names for these, by which they are found through :meth:`named`.
    """

    parameter: str
    group: str
    own: Mapping[str, str]
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def _entries(self) -> dict[str, EntryPoint]:
        """A name of Interplay's own cannot be taken by another package."""
        found = {entry.name: entry for entry in entry_points(group=self.group)}
        return {name: EntryPoint(name, at, self.group) for name, at in self.own.items()} | {
            name: entry for name, entry in sorted(found.items()) if name not in self.own
        }

    @cached_property
    def _spellings(self) -> dict[str, str]:
        """The names by their letters and digits in lower case, aliases included."""
        aliases = {alias: name for name, others in self.aliases.items() for alias in others}
        names = aliases | {name: name for name in reversed(self._entries)}
        return {_letters(spelling): name for spelling, name in names.items()}

    def named(self, name: str) -> str:
        """The name that is meant: upper and lower case, blanks and hyphens do not matter.

        Raises:
            ValueError: it is neither a name nor an alias; the message lists the names.
        """
        if name in self._entries:
            return name
        if _letters(name) not in self._spellings:
            raise unknown(self.parameter, name, self._entries)
        return self._spellings[_letters(name)]

    def __getitem__(self, name: str) -> Any:
        """What a name stands for.

        Raises:
            ValueError: there is no such name; the message lists those there are.
        """
        if name not in self._entries:
            raise unknown(self.parameter, name, self._entries)
        return self._entries[name].load()

    def package(self, name: str) -> str:
        """The package that brings a name."""
        distribution = self._entries[name].dist
        return "interplay" if distribution is None else str(distribution.name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    @property
    def listed(self) -> str:
        """All names, for help texts: ``auto, gp or lasso``."""
        *first, last = self._entries
        return f"{', '.join(first)} or {last}" if first else last


DECODERS = ExtensionPoint(
    "decoder",
    "interplay.decoders",
    {
        "auto": "interplay.decoders.auto:AUTO",
        "gp": "interplay.decoders.gaussian.decoder:GAUSSIAN",
        "proxyspex": "interplay.decoders.proxyspex:PROXYSPEX",
        "spex": "interplay.decoders.spex.decoder:SPEX",
        "lasso": "interplay.decoders.lasso:LASSO",
        "exact": "interplay.decoders.exact:EXACT",
    },
)
INDICES = ExtensionPoint(
    "index",
    "interplay.indices",
    {
        "Fourier": "interplay.fourier.indices:FOURIER",
        "Moebius": "interplay.fourier.indices:MOEBIUS",
        "Co-Moebius": "interplay.fourier.indices:CO_MOEBIUS",
        "BII": "interplay.fourier.indices:BII",
        "BV": "interplay.fourier.indices:BV",
        "SII": "interplay.fourier.indices:SII",
        "SV": "interplay.fourier.indices:SV",
        "k-SII": "interplay.fourier.indices:K_SII",
        "STII": "interplay.fourier.indices:STII",
        "FSII": "interplay.fourier.indices:FSII",
        "FBII": "interplay.fourier.indices:FBII",
    },
    {
        "Fourier": ("Walsh-Hadamard",),
        "Moebius": ("Möbius", "Mobius", "Harsanyi", "Harsanyi dividends"),
        "Co-Moebius": ("Co-Möbius", "Co-Mobius"),
        "BII": ("Banzhaf interaction", "Banzhaf interaction index"),
        "BV": ("Banzhaf", "Banzhaf value", "Banzhaf values"),
        "SII": ("Shapley interaction", "Shapley interaction index"),
        "SV": ("Shapley", "Shapley value", "Shapley values"),
        "k-SII": ("n-SII", "k-Shapley", "k-Shapley values", "n-Shapley values"),
        "STII": ("STI", "Shapley-Taylor", "Shapley-Taylor interaction index"),
        "FSII": ("FSI", "Faith-Shap", "faithful Shapley", "faithful Shapley interaction index"),
        "FBII": ("FBI", "Faith-Banzhaf", "faithful Banzhaf", "faithful Banzhaf interaction index"),
    },
)
BACKENDS = ExtensionPoint(
    "backend",
    "interplay.backends",
    {
        "local": "interplay.ablation.backends.local:LocalBackend",
        "ray": "interplay.ablation.backends.ray:RayBackend",
    },
)
MASKINGS = ExtensionPoint(
    "masking",
    "interplay.maskings",
    {
        "delete": "interplay.text.prompts.masking:DELETE",
        "mask_token": "interplay.text.prompts.masking:MASK_TOKEN",
        "attention": "interplay.text.prompts.masking:ATTENTION",
    },
)
EXPORTS = ExtensionPoint(
    "format",
    "interplay.exports",
    {
        "html": "interplay.report.html:page",
        "json": "interplay.report.export:as_json",
        "md": "interplay.report.export:as_markdown",
        "txt": "interplay.explanation.console:as_text",
        "notebook": "interplay.report.compact:compact",
        "card": "interplay.report.card:as_card",
        "card-html": "interplay.report.card:as_card_page",
    },
)
COMMANDS = ExtensionPoint(
    "command",
    "interplay.commands",
    {
        "text": "interplay.cli.text:TextOptions",
        "components": "interplay.cli.components:ComponentsOptions",
        "training": "interplay.cli.training:TrainingOptions",
        "finetune": "interplay.cli.finetuning:FineTuningOptions",
        "table": "interplay.cli.table:TableOptions",
        "image": "interplay.cli.image:ImageOptions",
        "demo": "interplay.cli.demo:DemoOptions",
    },
)
