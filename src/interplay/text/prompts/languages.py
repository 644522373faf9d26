"""Which language a text is in: its script, and in Latin letters its commonest words.

Only sentences need it, for the abbreviations of the language. A wrong guess between two languages
costs a few borders; ``language=`` says it outright.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

_SAMPLE = 20_000
"""The characters that are looked at, from the beginning."""
_BY_SCRIPT = {
    "ARABIC": "ar",
    "ARMENIAN": "hy",
    "BENGALI": "bn",
    "CJK": "zh",
    "CYRILLIC": "ru",
    "DEVANAGARI": "hi",
    "ETHIOPIC": "am",
    "GEORGIAN": "ka",
    "GREEK": "el",
    "GUJARATI": "gu",
    "GURMUKHI": "pa",
    "HANGUL": "ko",
    "HEBREW": "he",
    "HIRAGANA": "ja",
    "KANNADA": "kn",
    "KATAKANA": "ja",
    "KHMER": "km",
    "LAO": "lo",
    "MALAYALAM": "ml",
    "MYANMAR": "my",
    "ORIYA": "or",
    "SINHALA": "si",
    "TAMIL": "ta",
    "TELUGU": "te",
    "THAI": "th",
}
"""The commonest language of a script, by the first word of its letters' Unicode names."""
_LETTERS = {
    "ru": {"uk": "іїєґ", "be": "ў", "sr": "ђћџљњ", "mk": "ѓќѕ"},
    "ar": {"fa": "پچژگ", "ur": "ٹڈڑےں"},
}
"""Other languages of a script, told by letters that the commonest does not have."""
_FEW_KANA = 0.05
"""From this share of kana on, Chinese characters are Japanese."""
_FEW_LETTERS = 0.003
"""From this share on, letters of another language of the script tell it."""
_WORDS = {
    "en": (
        "the of and to in is that it was for on are with as this not have be by from which "
        "his he she they you her no so at or an but what all were we when your can said there "
        "will has had mr mrs ms dr"
    ),
    "de": (
        "der die das und ist nicht ein eine zu den mit von im dem des auf für sich auch wir "
        "es am um uhr in er als sie ihr hat nach bei aus wie wenn oder aber noch nur kann "
        "mein ich sein war sind wird herr frau zum zur"
    ),
    "fr": (
        "le la les des et est une du dans pour que qui sur pas au il elle ce nous avec sont "
        "par je vous ne cette mais ou son sa ses on plus leur ont aux dont mme monsieur"
    ),
    "es": (
        "el la los las de y que en un una es por con para no del se su al lo como más está "
        "son pero sus le ya este porque esta entre cuando muy sin sobre también me hasta hay "
        "sr sra"
    ),
    "it": (
        "il la di che e è un una per non sono del della con si i le gli nel anche come più in "
        "ma da lo alla dei delle questo questa ha ho al sig signora"
    ),
    "pt": (
        "o a os as de e que em um uma é não do da para com se por no na mais ao são foi dos "
        "mas seu sua quando muito nos já está eu também pelo pela ela sr"
    ),
    "nl": (
        "de het een en van is dat niet in op te zijn met voor aan er die ook als bij maar ze "
        "ik hij zij was om dit naar dan wel nog geen mijn heeft wordt deze mevrouw"
    ),
    "sv": (
        "och att det som en ett är på av för med inte den har till jag om var de från han hon "
        "sig så efter eller vid men kan ut hade"
    ),
    "da": (
        "og at det som en et er på af for med ikke den har til jeg om var de fra han blev hun "
        "sig så efter eller ved men kan ud havde"
    ),
    "pl": "i w na z się nie to jest że do o jak po co za od przez ale są dla był tego",
    "cs": "a v na se je že to s z do o jak po ale za od pro jsou byl který také ve",
    "fi": "ja on ei se että oli hän ovat mutta kun niin myös joka tai kuin sen voi ole",
    "hu": "a az és hogy nem is egy van volt meg de csak ez azt mint már még ki el",
    "ro": "și de la în a nu cu este pe un o să din care pentru se că mai sunt au",
    "tr": "ve bir bu da de için ile çok ne o gibi daha var mı ama olarak olan değil",
    "id": "yang dan di itu dengan untuk tidak ini dari dalam akan pada juga saya ke karena ada",
    "vi": "và của là có không được cho một các trong với này đã người những để tôi",
}
_KNOWN = {language: frozenset(words.split()) for language, words in _WORDS.items()}
_SHARED = Counter(word for words in _KNOWN.values() for word in words)
"""How many languages have a word."""


def detect(text: str) -> str:
    """Guess the language of a text.

    Args:
        text: the text; its first 20,000 characters are looked at.

    Returns:
        A code, as of ISO 639; ``"en"`` where nothing tells.
    """
    sample = text[:_SAMPLE].casefold()
    letters = Counter(character for character in sample if character.isalpha())
    scripts: Counter[str] = Counter()
    for letter, count in letters.items():
        scripts[unicodedata.name(letter, "").split(" ")[0].split("-")[0]] += count
    if not scripts:
        return "en"
    kana = scripts["HIRAGANA"] + scripts["KATAKANA"]
    if kana > _FEW_KANA * (kana + scripts["CJK"]):
        scripts["HIRAGANA"] += scripts.pop("CJK", 0) + scripts.pop("KATAKANA", 0)
    script, size = scripts.most_common(1)[0]
    if script == "LATIN":
        return _of_words(sample)
    language = _BY_SCRIPT.get(script, "en")
    for other, own in _LETTERS.get(language, {}).items():
        if sum(letters[letter] for letter in own) > _FEW_LETTERS * size:
            return other
    return language


def _of_words(sample: str) -> str:
    """The language with the most of its commonest words; the first of equals.

    A word that several languages have counts a part for each. Words of one letter count half:
    initials and the names of variables are such words too.
    """
    words = Counter(re.findall(r"[^\W\d_]+", sample))
    scores = {
        language: sum(words[word] * min(len(word), 2) / _SHARED[word] for word in known)
        for language, known in _KNOWN.items()
    }
    return max(scores, key=lambda language: scores[language])
