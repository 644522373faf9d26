"""Sentences: where ``sentencex`` ends one, but for borders that it is known to get wrong.

``sentencex`` knows the full stops of all scripts and many languages' abbreviations. The rules here
join what an abbreviation, an initial, an ordinal number or a quotation in mid-sentence has cut, and
cut after ellipses in Chinese and Japanese, and at spaces between letters of Thai or Lao, which have
no full stop. ``docs/text.md`` says what each way gets right.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

from interplay.errors import MissingDependencyError
from interplay.text.prompts.fields import Span

_TITLES = """
Adm Av Avda Brig Capt Cap Cmdr Col Cpl Doña Dr Dra Drs Dña Frl Fa Gen Gov Hon Hr Hrn Hptm Ing Lic Lt
Ltd Maj Me Mgr Mlle MM Mme Mmes Mr Mrs Ms Mt Mons Ob Pr Pres Prof Profa Rep Rev Sen Sgt Sig Sr Sra
Srta St Sta Ste Sto Ud Uds av avda bd boul calle col
Акад акад Доц доц Проф проф Св св Ср См им ул пр просп пер пл обл респ
डॉ प्रो श्री सु पं कु
"""
"""Abbreviations of titles, of saints, of streets: a name follows, and no sentence ends."""
_REFERENCES = """
Abb Abs Anm Art Bd Cap Ch Chap Fig Figs Kap No Nr Num Par Rn Sec Sect Tab Vol Ziff approx art arts
aprox ca cap ch chap cf circa env eq eqs fig figs ibid no nos nr núm num p par para paras pp pag pág
págs parág reg sec sect tab tabl vgl vol vols ver
гл кн ил млн млрд п пп пер рис руб с см ср ст стр табл тыс тт ч
Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec janv févr avr juil sept oct nov déc ene abr ago dic
"""
"""Abbreviations before a number."""
_STARTERS = """
Aber Alle Alles Als Am An Auch Auf Aus Bei Beide Da Damit Danach Dann Das Dem Den Denn Der Des Die
Dies Diese Dieser Dieses Doch Dort Ein Eine Einer Er Es Für Heute Hier Ich Ihr Ihre Im In Ja Jede
Jeder Jedoch Jetzt Kein Keine Man Mit Nach Nein Nicht Niemand Noch Nun Nur Ob Oft Ohne Sein Seine
Seit Sie So Trotz Und Unter Viele Vom Von Vor Was Weil Wenn Wer Wie Wir Wo Zu Zum Zur
"""
"""Words that begin a German sentence after a number rather than belong to an ordinal number."""
_ORDINALS = ("de", "da", "no", "nb", "cs", "sk", "hu", "fi", "hr", "sl", "et", "lv")
"""Languages that write ordinal numbers with a full stop."""


def sentences(text: str, language: str) -> list[Span]:
    """Split a text into sentences.

    Args:
        text: the text.
        language: its code, such as ``"de"``; of one that is not known, English rules are used.

    Returns:
        The spans, which cover the text; white space is part of them.

    Raises:
        MissingDependencyError: a package is not installed.
    """
    try:
        from sentencex import segment
    except ImportError as error:
        raise MissingDependencyError("sentencex", "llm", "splitting into sentences") from error
    patterns = _patterns()
    ends = []
    at = 0
    for piece in segment(language, text):
        ends += [at + match.end() for match in patterns["more ends"].finditer(piece)]
        at += len(piece)
        ends.append(at)
    cuts = sorted({0, *ends, len(text)})
    kept = [cut for cut in cuts if cut in (0, len(text)) or not _joins(text, cut, language)]
    return [*pairwise(kept)]


@cache
def _patterns() -> dict[str, Any]:
    try:
        import regex
    except ImportError as error:
        raise MissingDependencyError("regex", "llm", "splitting into sentences") from error
    titles, references = ("|".join(words.split()) for words in (_TITLES, _REFERENCES))
    texts = {
        # after a Chinese ellipsis, and at spaces between Thai or Lao letters
        "more ends": r"……(?=[\p{Han}\p{Hiragana}\p{Katakana}])"
        r"|(?<=[\p{Thai}\p{Lao}]) +(?=[\p{Thai}\p{Lao}])",
        # before the border
        "title": rf"(?<![\p{{L}}\p{{M}}])(?:{titles})\.\s*$",
        "reference": rf"(?<![\p{{L}}\p{{M}}])(?:{references}|n\.º)\.?\s*$",
        "initial": r"(?<![\p{L}\p{M}\d.'’])(?:\p{Lu}|\p{Arabic})\.\s*$",
        "short": r"\p{L}\.\s*$",
        "ordinal": r"(?<![\d.,])\d{1,2}\.\s*$",
        "quotation": r"[.!?。！？…]\s*[\"'”’»›」』）)]\s*$",
        # after the border
        "number": r"\p{Nd}",
        "lower": r"\p{Ll}",
        "aside": r"[—–-]\s*\p{Ll}",
        "capital": r"\p{Lu}|\p{Lo}|-\p{Lu}",
        "word": r"\p{Lu}\p{L}*",
        "quoted by": r"と|って|という"
        r"|[^。！？，、“”]{0,6}?(?:说|說|问|問|道|喊|叫|答|笑)(?:道|着)?[。，：]",
    }
    return {name: regex.compile(text) for name, text in texts.items()}


def _joins(text: str, cut: int, language: str) -> bool:
    """Whether a border between two sentences is none."""
    patterns = _patterns()
    line = text.rfind("\n", 0, cut) + 1
    before, after = text[max(line, cut - 40) : cut], text[cut : cut + 40]
    if not before.strip():  # a line begins here
        return False

    def ends(name: str) -> bool:
        return patterns[name].search(before) is not None

    def begins(name: str) -> Any:
        return patterns[name].match(after)

    if ends("short") and begins("lower"):
        return True
    if begins("aside"):
        return True
    if ends("quotation") and (begins("lower") or begins("quoted by")):
        return True
    if ends("title") or (ends("reference") and begins("number")):
        return True
    if ends("initial") and begins("capital"):
        return True
    if language in _ORDINALS and ends("ordinal"):
        word = begins("word")
        return bool(begins("lower") or (word and word[0] not in _STARTERS.split()))
    return False
