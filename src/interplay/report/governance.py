"""What four texts on records and transparency ask about, and where an explanation's record has it.

The EU AI Act (Regulation (EU) 2024/1689), Articles 12 and 13; the model risk guidance of the US
banking agencies (SR 11-7 of 2011, replaced by SR 26-2 of 17 April 2026); and the guiding principles
on transparency for machine learning-enabled medical devices of FDA, Health Canada and MHRA (June
2024). None of them asks for an explanation like this one. Their subjects are whole systems and
those who answer for these; what is recorded here is a part of what such a person may need.
"""

from __future__ import annotations

from dataclasses import dataclass

from interplay._types import Json

ABSENT = "not in this record"


@dataclass(frozen=True)
class Fact:
    """Something that is asked about, and what the record has of it.

    Attributes:
        asks: what is asked about, in a few words.
        says: what is recorded; any text.
        entries: where it stands, as paths in the JSON of the explanation
            (``explanation.to_json``); empty if it is not there.
    """

    asks: str
    says: str
    entries: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asked:
    """A text, and what it asks about.

    Attributes:
        source: the text, with its place.
        facts: what it asks about.
        elsewhere: what it asks about too and no explanation can say.
    """

    source: str
    facts: tuple[Fact, ...]
    elsewhere: str


def asked(record: Json) -> tuple[Asked, ...]:
    """What the four texts ask about, with what the record has.

    Args:
        record: an item of ``explanations`` in the JSON of an explanation.
    """
    known = _Known(record)
    return (
        Asked(
            "EU AI Act, Article 12: records of events, for traceability",
            (
                Fact("when", known.text("provenance.created"), ("provenance.created",)),
                Fact("with what", known.versions(), ("provenance.versions", "provenance.platform")),
                Fact("which system, which input", *known.game()),
                Fact(
                    "each ablation of this run: what was asked, what came",
                    known.ablations(),
                    ("provenance.design.masks_sha256", *known.there("provenance.ablations.sha256")),
                ),
                Fact("interruptions and failures", *known.failures()),
            ),
            "the events of the system in its use, how long they are kept, who looks at them",
        ),
        Asked(
            "EU AI Act, Article 13: what deployers are told, so that they can interpret an output",
            (
                Fact("what helps to explain the output", *known.found()),
                Fact("how well the explanation predicts the model", *known.score()),
                Fact("limits, and circumstances of risk", *known.limits()),
                Fact("which input it is about", *known.described()),
            ),
            "the provider, the intended purpose, how accurate the system itself is, its "
            "performance on groups of persons, human oversight, changes and maintenance",
        ),
        Asked(
            "Model risk (SR 26-2, which replaced SR 11-7 on 17 April 2026): "
            "documentation, limitations, testing",
            (
                Fact("which model", *known.game()),
                Fact("method and its settings", *known.method()),
                Fact("assumptions and limitations", *known.limits()),
                Fact("how well this account of the model predicts it", *known.score()),
                Fact("tests made for its claims", *known.confirmed()),
                Fact("can others repeat it", *known.repeated()),
            ),
            "the inventory, the use and its materiality, the model's own outcomes, independent "
            "validation, monitoring, owners",
        ),
        Asked(
            "FDA, Health Canada and MHRA (2024), transparency of machine learning-enabled medical "
            "devices",
            (
                Fact("logic: how the output was reached", *known.found()),
                Fact("performance of that account", *known.score()),
                Fact("limitations, confidence, gaps", *known.limits()),
                Fact("the version that it is about", *known.game()),
            ),
            "intended use and users, the device's own performance, the population, the workflow, "
            "risks and benefits, updates",
        ),
    )


@dataclass(frozen=True)
class _Known:
    """What a record has, as text and with its places."""

    record: Json

    def at(self, path: str) -> object:
        """The value at a path, ``None`` if there is none."""
        value: object = self.record
        for name in path.split("."):
            if not isinstance(value, dict) or name not in value:
                return None
            value = value[name]
        return value

    def text(self, path: str) -> str:
        value = self.at(path)
        return ABSENT if value is None else str(value)

    def there(self, *paths: str) -> tuple[str, ...]:
        """Those of some paths that have a value."""
        return tuple(path for path in paths if self.at(path) is not None)

    def versions(self) -> str:
        versions = self.record["provenance"]["versions"]
        return ", ".join(f"{name} {number}" for name, number in versions.items())

    def game(self) -> tuple[str, tuple[str, ...]]:
        place = "provenance.game.fingerprint"
        fingerprint = self.at(place)
        if fingerprint is None:
            return "the game has no fingerprint, so no hash says which model it was", ()
        name = self.at("provenance.game.description.model")
        named = "" if name is None else f"{name}, "
        places = self.there("provenance.game.description.model", place)
        return f"{named}fingerprint {fingerprint}", places

    def ablations(self) -> str:
        budget = self.record["provenance"]["budget"]
        digest = self.text("provenance.ablations.sha256")
        return f"{budget['spent']} ablations, SHA-256 of masks and values {digest}"

    def failures(self) -> tuple[str, tuple[str, ...]]:
        budget = self.record["provenance"]["budget"]
        interrupted = "interrupted" if budget.get("interrupted") else "not interrupted"
        return (
            f"{interrupted}; {budget.get('skipped', 0)} ablations failed and were skipped",
            self.there("provenance.budget.interrupted", "provenance.budget.skipped"),
        )

    def found(self) -> tuple[str, tuple[str, ...]]:
        interactions, terms = self.record["interactions"], self.record["interactions"]["terms"]
        n_findings = sum(any(term["findings"]) for term in terms if term["players"])
        says = (
            f"{n_findings} of {sum(bool(term['players']) for term in terms)} values of "
            f"{interactions['index']}, order {interactions['order']}, are findings"
        )
        return says, ("interactions.terms", "verdict.level")

    def score(self) -> tuple[str, tuple[str, ...]]:
        score = self.record["faithfulness"]
        if score["r2"] is None:
            return "no R2 is known", ("faithfulness.n_masks",)
        on = "all" if score["exact"] else "held-out"
        says = f"R2 {score['r2']:.3f} on {score['n_masks']} {on} masks"
        if not score["exact"]:
            says += f", {score['level']:.0%} interval {score['low']:.3f} to {score['high']:.3f}"
        return says, ("faithfulness.r2", "faithfulness.low", "faithfulness.n_masks")

    def limits(self) -> tuple[str, tuple[str, ...]]:
        verdict = self.record["verdict"]
        codes = ", ".join(warning["code"] for warning in verdict["warnings"]) or "no warnings"
        return f"verdict: {verdict['level']}; {codes}", ("verdict.level", "verdict.warnings")

    def described(self) -> tuple[str, tuple[str, ...]]:
        """What the input is: a text by its length, and the number of players."""
        description = self.record["provenance"]["game"]["description"]
        n_players = len(self.record["players"])
        text = description.get("text")
        places = self.there("provenance.game.description.text")
        of_text = f"a text of {len(text)} characters, " if isinstance(text, str) else ""
        return f"{of_text}{n_players} players", (*places, "players")

    def method(self) -> tuple[str, tuple[str, ...]]:
        decoder = self.record["provenance"]["decoder"]
        says = f"decoder {decoder['ran']}, masks: {self.text('provenance.design.kind')}"
        return says, ("provenance.decoder", "provenance.design", *self.there("provenance.request"))

    def confirmed(self) -> tuple[str, tuple[str, ...]]:
        if self.at("confirmation") is None:
            return "none were made (explanation.confirm makes them)", ()
        tested = self.record["confirmation"]["tested"]
        verdicts = [one["verdict"] for one in tested]
        counts = ", ".join(f"{verdicts.count(one)} {one}" for one in dict.fromkeys(verdicts))
        return f"{len(tested)} interactions tested: {counts}", ("confirmation.tested",)

    def repeated(self) -> tuple[str, tuple[str, ...]]:
        seed = self.record["provenance"]["random_state"]
        return f"seed {seed}, and the hashes above", (
            "provenance.random_state",
            *self.there("provenance.request", "provenance.ablations.sha256"),
        )
