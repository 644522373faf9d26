"""Units: the parts of a transformer that can be removed, and groups of them as players."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Literal, TypeAlias

from interplay._types import whole
from interplay.components.architecture import Architecture, find_architecture
from interplay.components.dictionaries import Dictionary
from interplay.components.sharing import shared_key_values

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Kind: TypeAlias = Literal["head", "neuron", "mlp", "layer", "latent"]


@dataclass(frozen=True, order=True)
class Unit:
    """One part of a transformer.

    Attributes:
        layer: the number of its layer, from 0.
        kind: ``"head"``: what one attention head adds; ``"neuron"``: what one hidden neuron of the
            MLP adds; ``"mlp"``: what the MLP adds; ``"layer"``: all that the layer adds to the
            hidden states; ``"latent"``: what one latent of a dictionary stands for.
        head: the number of the (query) head, from 0; or of the neuron or the latent; 0 for the
            other kinds.
        dictionary: of a latent: the sparse autoencoder or transcoder that it belongs to.
    """

    layer: int
    kind: Kind
    head: int = 0
    dictionary: Dictionary | None = None

    @property
    def name(self) -> str:
        """Its name, such as ``L14.H3``, ``L14.N170``, ``L14.MLP``, ``L14`` or ``L14.latent5``."""
        part = {
            "head": f".H{self.head}",
            "neuron": f".N{self.head}",
            "mlp": ".MLP",
            "layer": "",
            "latent": f".latent{self.head}",
        }[self.kind]
        of_mlp = self.dictionary is not None and self.dictionary.at != "layer"
        return f"L{self.layer}{'.MLP' if of_mlp else ''}{part}"

    @property
    def units(self) -> tuple[Unit, ...]:
        """Itself: a player of one unit."""
        return (self,)


@dataclass(frozen=True)
class Group:
    """Units that are removed together.

    Attributes:
        name: for people to read.
        units: one or more.
    """

    name: str
    units: tuple[Unit, ...]


Player: TypeAlias = Unit | Group


def heads(model: PreTrainedModel, layers: Iterable[int] | None = None) -> tuple[Unit, ...]:
    """List the attention heads of some layers; each (query) head is a unit.

    Args:
        model: the transformer.
        layers: numbers of layers, from 0, negative ones from the end; by default all with
            heads.

    Raises:
        ValueError: a layer that does not exist or has no attention.
    """
    architecture = find_architecture(model)
    numbers = _layer_numbers(architecture, layers)
    for number in numbers:
        if layers is not None and not architecture.layers[number].n_heads:
            raise ValueError(
                f"no attention was found in layer {number} of {type(model).__name__}; take its "
                "MLP, or the whole layer"
            )
    return tuple(
        Unit(number, "head", head)
        for number in numbers
        for head in range(architecture.layers[number].n_heads)
    )


def mlps(model: PreTrainedModel, layers: Iterable[int] | None = None) -> tuple[Unit, ...]:
    """List the MLPs of some layers; see :func:`heads`.

    Raises:
        ValueError: as for :func:`heads`, or a layer has no MLP that can be found.
    """
    architecture = find_architecture(model)
    numbers = _layer_numbers(architecture, layers)
    for number in numbers:
        if layers is not None and architecture.layers[number].mlp is None:
            raise ValueError(
                f"no MLP was found in layer {number} of {type(model).__name__}; take its heads, "
                "or the whole layer"
            )
    return tuple(
        Unit(number, "mlp") for number in numbers if architecture.layers[number].mlp is not None
    )


def layers(model: PreTrainedModel, layers: Iterable[int] | None = None) -> tuple[Unit, ...]:
    """List whole layers; see :func:`heads`. Without a layer, hidden states bypass it."""
    numbers = _layer_numbers(find_architecture(model), layers)
    return tuple(Unit(number, "layer") for number in numbers)


def kv_groups(model: PreTrainedModel, layers: Iterable[int] | None = None) -> tuple[Group, ...]:
    """List the key-value groups of some layers: the query heads that share a key-value head.

    Which heads share one is found by what they read, whatever the model calls it. A group is
    removed by removing its heads.

    Args:
        model: the transformer.
        layers: as for :func:`heads`.

    Returns:
        Groups named ``L14.KV0``, in the order of their heads.

    Raises:
        ValueError: as for :func:`heads`, or each head of a layer has keys and values of its own.
    """
    by_layer = groupby(heads(model, layers), lambda unit: unit.layer)
    units = {number: tuple(members) for number, members in by_layer}
    shared = shared_key_values(model, find_architecture(model), tuple(units))
    result = []
    for number, members in units.items():
        if len(shared[number]) == len(members):
            raise ValueError(
                f"each of the {len(members)} heads in layer {number} of {type(model).__name__} has "
                "keys and values of its own, so there are no key-value groups; take heads()"
            )
        for group, indices in enumerate(shared[number]):
            of_group = tuple(members[head] for head in indices)
            result.append(Group(f"L{number}.KV{group}", of_group))
    return tuple(result)


def neurons(
    model: PreTrainedModel,
    layers: Iterable[int] | None = None,
    *,
    blocks: int | None = None,
    indices: Iterable[int] | None = None,
) -> tuple[Player, ...]:
    """List hidden neurons of MLPs, in blocks or one by one.

    A hidden neuron is one input of the linear map that writes what the MLP adds: a row of it times
    the neuron's activation is what the neuron adds.

    Args:
        model: the transformer.
        layers: as for :func:`heads`.
        blocks: cut the neurons of each layer, in their order, into so many blocks of about one
            size; each is a player, named ``L14.N0-191``.
        indices: the numbers of the neurons, from 0, each a player named ``L14.N170``; make
            ``Group``s of them to remove them together.

    Raises:
        ValueError: as for :func:`heads`, an MLP whose neurons cannot be found, not exactly one of
            ``blocks`` and ``indices``, or a neuron that does not exist.
    """
    architecture = find_architecture(model)
    numbers = _layer_numbers(architecture, layers)
    if (blocks is None) == (indices is None):
        raise ValueError(
            f"blocks={blocks} and indices={indices}: give one of them, blocks=8 for eight blocks "
            "of each layer's neurons, or indices=[170, 171] for single ones"
        )
    chosen = None if indices is None else [whole("a neuron", index, 0) for index in indices]
    if chosen == []:
        raise ValueError("indices=[] names no neuron; give the numbers of one or more")
    if blocks is not None:
        whole("blocks", blocks, 1)
    result: list[Player] = []
    for number in numbers:
        count = architecture.layers[number].n_neurons
        if not count and layers is None:
            continue
        if not count:
            raise ValueError(
                f"no hidden neurons were found in layer {number} of {type(model).__name__}, whose "
                "MLP ends in no single linear map; take the MLP"
            )
        if chosen is not None:
            units = [Unit(number, "neuron", index) for index in chosen]
            for unit in units:
                check_unit(architecture, unit)
            result += units
            continue
        assert blocks is not None
        if not 1 <= blocks <= count:
            raise ValueError(
                f"blocks={blocks} of the {count} neurons in layer {number}; give a number from 1 "
                f"to {count}"
            )
        ends = [count * block // blocks for block in range(blocks + 1)]
        for first, stop in pairwise(ends):
            members = tuple(Unit(number, "neuron", index) for index in range(first, stop))
            result.append(Group(f"L{number}.N{first}-{stop - 1}", members))
    if not result:
        raise ValueError(f"no hidden neurons were found in {type(model).__name__}; take the MLPs")
    return tuple(result)


def by_layers(units: Iterable[Player], size: int = 1) -> tuple[Group, ...]:
    """Group units by consecutive layers; each group is a player.

    Args:
        units: units of any kinds; groups count as their units.
        size: how many layers a group spans, counted from layer 0: the boundaries of the groups do
            not depend on ``units``.

    Raises:
        ValueError: ``size`` is below 1.
    """
    if size < 1:
        raise ValueError(f"size={size} is below 1; give a number of layers")
    result = []
    single = [unit for player in units for unit in player.units]
    single.sort(key=lambda unit: (unit.layer, unit.kind, unit.head))
    for _, members in groupby(single, lambda unit: unit.layer // size):
        block_units = tuple(members)
        first, last = block_units[0].layer, block_units[-1].layer
        name = f"L{first}" if first == last else f"L{first}-{last}"
        kinds = "+".join(sorted({unit.kind for unit in block_units}))
        result.append(Group(f"{name} {kinds}" if kinds != "layer" else name, block_units))
    return tuple(result)


def check_unit(architecture: Architecture, unit: Unit) -> None:
    """Check that a model has a unit.

    Raises:
        ValueError: it does not.
    """
    if not 0 <= unit.layer < len(architecture.layers):
        raise _no_layer(unit.layer, len(architecture.layers))
    layer = architecture.layers[unit.layer]
    if (unit.kind == "latent") != (unit.dictionary is not None):
        raise ValueError(f"{unit!r} is no unit; latents have a dictionary, which latents() gives")
    counts = {"head": (layer.n_heads, "heads"), "neuron": (layer.n_neurons, "hidden neurons")}
    if unit.dictionary is not None:
        counts["latent"] = (unit.dictionary.n_latents, "latents")
    count, parts = counts.get(unit.kind, (1, "of it"))
    if not 0 <= unit.head < count:
        raise ValueError(
            f"{unit.name} does not exist: layer {unit.layer} has {count} {parts}, counted from 0"
        )
    if unit.kind == "mlp" and layer.mlp is None:
        raise ValueError(f"{unit.name} does not exist: no MLP was found in layer {unit.layer}")


def _layer_numbers(architecture: Architecture, layers: Iterable[int] | None) -> list[int]:
    """Check layers' numbers and count them from the first; sorted, each once."""
    count = len(architecture.layers)
    numbers = range(count) if layers is None else [int(layer) for layer in layers]
    for number in numbers:
        if not -count <= number < count:
            raise _no_layer(number, count)
    return sorted({number % count for number in numbers})


def _no_layer(number: int, count: int) -> ValueError:
    return ValueError(
        f"layer {number} does not exist: the model has {count} layers, counted from 0 to "
        f"{count - 1}"
    )
