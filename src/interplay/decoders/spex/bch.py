r"""Shortened systematic binary BCH codes, many words decoded at a time.

A codeword has n information bits, one for each player, and then p parity bits. SPEX (arXiv
2502.13870) takes the players of a set S as information bits and reads their parity bits from the
signs of a bin. The received word, with zeros for the information bits, differs from the codeword of
S in |S| information bits and in the parity bits that noise has flipped. A code that corrects t
errors therefore returns S where

.. math:: |S| + \text{wrong parity bits} \le t.

Position i of a codeword stands for the power x^(n + p - 1 - i). Elements of the field GF(2^m) are
integers whose bits are the coefficients of a polynomial over GF(2). Arrays hold many words, which
are decoded together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from interplay._types import BoolArray, IntArray

_PRIMITIVE = {
    2: 0x7, 3: 0xB, 4: 0x13, 5: 0x25, 6: 0x5B, 7: 0x83, 8: 0x11D, 9: 0x211, 10: 0x46F, 11: 0x805,
    12: 0x10EB, 13: 0x201B, 14: 0x40A9, 15: 0x8035, 16: 0x1002D,
}  # fmt: skip
"""Primitive (Conway) polynomials over GF(2) by their degree m; bit i is the coefficient of x^i."""
_WORDS_AT_ONCE = 1 << 14
"""The intermediate arrays of so many words stay in the processor's cache."""
_CELLS_AT_ONCE = 1 << 20
"""The largest table of the root search, words times positions."""


@dataclass(frozen=True, eq=False)
class BCH:
    """A binary BCH code over GF(2^m), shortened to one information bit for each player.

    Attributes:
        n_players: n, the information bits.
        t: how many errors it corrects.
        degree: m, of the field.
        n_parity: p, the parity bits; the degree of the generator polynomial.
        parity: row i holds the parity bits of information bit i alone, ``(n, p)``.
        exp: powers of the primitive element, arranged so that ``exp[log[a] + log[b]]`` is the
            product of a and b, also where one is zero.
        log: discrete logarithms; ``log[0]`` points into the zeros at the end of ``exp``.
        columns: what an error at each position adds to the power sums S_1, S_3, ..., S_(2t-1),
            ``(n + p, t)``.
    """

    n_players: int
    t: int
    degree: int
    n_parity: int
    parity: BoolArray
    exp: IntArray
    log: IntArray
    columns: IntArray

    @property
    def length(self) -> int:
        """The bits of a codeword, n + p."""
        return self.n_players + self.n_parity


@lru_cache(maxsize=64)
def bch_code(n_players: int, t: int) -> BCH:
    """Build the shortest BCH code for so many players and errors, or take it from the cache.

    Args:
        n_players: n, the information bits.
        t: the errors to correct.

    Returns:
        The code over the smallest field with 2^m - 1 - p >= n.

    Raises:
        ValueError: ``n_players`` or ``t`` is below 1, or no field up to GF(2^16) holds the code.
    """
    if n_players < 1 or t < 1:
        raise ValueError(
            f"n_players={n_players} and t={t} make no BCH code; use n_players >= 1 and t >= 1"
        )
    for degree in _PRIMITIVE:
        n_parity = len(_root_exponents(degree, t))
        if (1 << degree) - 1 - n_parity >= n_players:
            break
    else:
        raise ValueError(
            f"n_players={n_players} and t={t} need a field beyond GF(2^16), the largest here; use "
            "fewer players, such that n_players + 16 t <= 65535"
        )
    exp, log = _tables(degree)
    generator = _generator(degree, t, exp, log)
    parity = np.zeros((n_players, n_parity), dtype=np.bool_)
    # information bit i is x^(p + n - 1 - i); its parity bits are the remainder by the generator
    remainder = 1 << n_parity
    for i in range(n_players - 1, -1, -1):
        if remainder >> n_parity:
            remainder ^= generator
        parity[i] = [(remainder >> (n_parity - 1 - j)) & 1 for j in range(n_parity)]
        remainder <<= 1
    exponents = np.arange(n_players + n_parity - 1, -1, -1)[:, None]
    columns = exp[(exponents * np.arange(1, 2 * t, 2)[None, :]) % ((1 << degree) - 1)]
    for array in (parity, exp, log, columns):
        array.setflags(write=False)
    return BCH(n_players, t, degree, n_parity, parity, exp, log, columns)


def _root_exponents(degree: int, t: int) -> set[int]:
    """Collect the exponents of the generator's roots: a, a^3, ..., a^(2t-1), all conjugates."""
    period = (1 << degree) - 1
    return {(j << s) % period for j in range(1, 2 * t, 2) for s in range(degree)}


def _tables(degree: int) -> tuple[IntArray, IntArray]:
    """Tabulate ``exp`` and ``log`` of the field (see :class:`BCH`)."""
    period = (1 << degree) - 1
    powers = np.empty(period, dtype=np.int64)
    value = 1
    for i in range(period):
        powers[i] = value
        value <<= 1
        if value >> degree:
            value ^= _PRIMITIVE[degree]
    zero = 2 * period  # beyond every sum of two logarithms of elements that are not zero
    exp = np.zeros(2 * zero + 1, dtype=np.int64)
    exp[:period], exp[period:zero] = powers, powers
    log = np.empty(period + 1, dtype=np.int64)
    log[0] = zero
    log[powers] = np.arange(period)
    return exp, log


def _generator(degree: int, t: int, exp: IntArray, log: IntArray) -> int:
    """Multiply the factors x - root; bit i of the result is the coefficient of x^i."""
    polynomial = [1]  # lowest power first
    for root in sorted(_root_exponents(degree, t)):
        product = [0, *polynomial]
        for i, coefficient in enumerate(polynomial):
            product[i] ^= int(exp[log[coefficient] + root]) if coefficient else 0
        polynomial = product
    # every coefficient is 0 or 1
    return sum(coefficient << i for i, coefficient in enumerate(polynomial))


def encode(code: BCH, information: BoolArray) -> BoolArray:
    """Compute the parity bits of words.

    Args:
        code: the code.
        information: ``(w, n)``.

    Returns:
        ``information @ code.parity`` over GF(2), ``(w, p)``.
    """
    counts = np.asarray(information, dtype=np.float32) @ code.parity.astype(np.float32)
    return (counts.astype(np.int64) & 1).astype(np.bool_)


def syndromes(code: BCH, bits: BoolArray, *, first: int = 0) -> IntArray:
    r"""Compute the odd power sums of received words.

    .. math:: S_r = \sum_{i : \text{bit } i = 1} X_i^r, \qquad r = 1, 3, \ldots, 2t - 1

    with the field element X_i of position i. The even ones are their squares.

    Args:
        code: the code.
        bits: the bits at ``first`` and the positions after it, ``(w, q)``; all others are zero.
        first: the position of the first bit; ``code.n_players`` for words of parity bits only.

    Returns:
        ``(w, t)``.
    """
    words = np.asarray(bits, dtype=np.bool_)
    columns = code.columns[first : first + words.shape[1]]
    result = np.zeros((words.shape[0], code.t), dtype=np.int64)
    for r in range(code.t):
        # addition in the field is XOR: each of the m bits of the sum is a sum over GF(2)
        planes = ((columns[:, r, None] >> np.arange(code.degree)) & 1).astype(np.float32)
        sums = (words.astype(np.float32) @ planes).astype(np.int64) & 1
        result[:, r] = sums @ (1 << np.arange(code.degree))
    return result


def locate(code: BCH, syndrome: IntArray) -> tuple[IntArray, IntArray]:
    """Find the positions of the errors.

    Args:
        code: the code.
        syndrome: from :func:`syndromes`, ``(w, t)``.

    Returns:
        The positions ``(w, t)``, ascending and padded with -1 at the end; and how many there are,
        ``(w,)``, -1 where no codeword lies within distance t.
    """
    n_words = syndrome.shape[0]
    positions = np.full((n_words, code.t), -1, dtype=np.int64)
    n_errors = np.full(n_words, -1, dtype=np.int64)
    for start in range(0, n_words, _WORDS_AT_ONCE):
        block = np.ascontiguousarray(syndrome[start : start + _WORDS_AT_ONCE].T)
        locators, lengths = _locators(code, block)
        n_errors[start : start + block.shape[1]][lengths == 0] = 0
        for v in range(1, code.t + 1):
            of_degree = np.flatnonzero((lengths == v) & (locators[v] != 0))
            if len(of_degree) == 0:
                continue
            chosen = np.ascontiguousarray(locators[: v + 1, of_degree])
            split = np.flatnonzero(_splits(code, chosen))
            if len(split) == 0:
                continue
            roots = _roots(code, chosen[:, split])
            is_complete = roots[:, 0] >= 0
            rows = start + of_degree[split[is_complete]]
            positions[rows, :v] = roots[is_complete]
            n_errors[rows] = v
    return positions, n_errors


def decode_hard(code: BCH, words: BoolArray) -> tuple[BoolArray, IntArray]:
    """Correct up to t errors in each word.

    Args:
        code: the code.
        words: information bits, then parity bits, ``(w, n + p)``.

    Returns:
        The corrected words, ``(w, n + p)``; and how many errors each had, ``(w,)``, -1 where no
        codeword lies within distance t and the word is returned as it came.

    Raises:
        ValueError: the words are not n + p long.
    """
    received = np.array(words, dtype=np.bool_)
    if received.ndim != 2 or received.shape[1] != code.length:
        raise ValueError(
            f"words of shape {received.shape} do not fit a code of length {code.length}; "
            f"pass (w, {code.length}), information bits first"
        )
    positions, n_errors = locate(code, syndromes(code, received))
    rows, slots = np.nonzero(positions >= 0)
    received[rows, positions[rows, slots]] ^= True
    return received, n_errors


def _multiply(code: BCH, a: IntArray, b: IntArray) -> IntArray:
    """Multiply field elements, one by one."""
    product: IntArray = code.exp.take(code.log.take(a) + code.log.take(b))
    return product


def _locators(code: BCH, syndrome: IntArray) -> tuple[IntArray, IntArray]:
    """Compute the error locator polynomials by Berlekamp's iteration for binary codes.

    Args:
        code: the code.
        syndrome: odd power sums, ``(t, w)``.

    Returns:
        The polynomials, lowest power first, ``(t + 1, w)``; and the register lengths, ``(w,)``,
        which are the numbers of errors where a word can be decoded.
    """
    t, n_words = syndrome.shape
    power_sums = np.zeros((2 * t, n_words), dtype=np.int64)  # S_1 to S_2t
    for r in range(1, 2 * t + 1):
        if r % 2:
            power_sums[r - 1] = syndrome[r // 2]
        else:  # S_r is the square of S_(r/2)
            half = power_sums[r // 2 - 1]
            power_sums[r - 1] = _multiply(code, half, half)
    log_sums = code.log.take(power_sums)
    period = (1 << code.degree) - 1
    locator = np.zeros((t + 1, n_words), dtype=np.int64)
    locator[0] = 1
    correction = np.zeros((t + 1, n_words), dtype=np.int64)  # added where there is a discrepancy
    correction[1] = 1
    length = np.zeros(n_words, dtype=np.int64)
    for r in range(t):
        discrepancy = power_sums[2 * r].copy()
        for i in range(1, min(r + 1, t) + 1):
            if 2 * r - i >= 0:
                discrepancy ^= code.exp.take(code.log.take(locator[i]) + log_sums[2 * r - i])
        log_discrepancy = code.log.take(discrepancy)
        grows = (discrepancy != 0) & (length <= r)
        log_inverse = np.where(discrepancy != 0, (period - log_discrepancy) % period, 0)
        # x^2 times the old locator where the register grows, and times the correction elsewhere
        shifted = np.zeros_like(correction)
        for i in range(2, t + 1):
            scaled = code.exp.take(code.log.take(locator[i - 2]) + log_inverse)
            shifted[i] = np.where(grows, scaled, correction[i - 2])
        for i in range(1, t + 1):
            locator[i] ^= code.exp.take(code.log.take(correction[i]) + log_discrepancy)
        length = np.where(grows, 2 * r + 1 - length, length)
        correction = shifted
    return locator, length


def _splits(code: BCH, locator: IntArray) -> BoolArray:
    """Tell which locators of degree v have v different roots in the field, without finding them.

    The reversed locator s(x) is monic, and its roots are the X_i of the errors. It has v different
    roots exactly if x^(2^m) = x modulo s(x). A random polynomial passes with a probability of about
    1/v!, so that few words reach the root search.

    Args:
        code: the code.
        locator: lowest power first, ``(v + 1, w)``; the first coefficient is 1, the last not 0.

    Returns:
        ``(w,)``.
    """
    v, n_words = locator.shape[0] - 1, locator.shape[1]
    if v == 1:
        return np.ones(n_words, dtype=np.bool_)
    exp, log = code.exp, code.log
    log_low = log.take(locator[:0:-1])  # s(x) = x^v + sum over i < v of low_i x^i
    log_reduced = {}  # of x^e modulo s(x), for even e >= v
    reduced = locator[:0:-1].copy()
    for e in range(v, 2 * v - 1):
        if e > v:
            log_lead = log.take(reduced[v - 1])
            reduced = np.concatenate([np.zeros((1, n_words), dtype=np.int64), reduced[:-1]])
            reduced ^= exp.take(log_low + log_lead)
        if e % 2 == 0:
            log_reduced[e] = log.take(reduced)
    period = (1 << code.degree) - 1
    square = exp.take((2 * log) % period)
    square[0] = 0
    log_square = log.take(square)
    power = np.zeros((v, n_words), dtype=np.int64)  # x, then squared modulo s(x) m times
    power[1] = 1
    for _ in range(code.degree):
        squared = np.zeros_like(power)
        for i in range(v):
            if 2 * i < v:
                squared[2 * i] ^= square.take(power[i])
            else:
                squared ^= exp.take(log_reduced[2 * i] + log_square.take(power[i]))
        power = squared
    power[1] ^= 1
    return np.logical_not(power.any(axis=0), dtype=np.bool_)


def _roots(code: BCH, locator: IntArray) -> IntArray:
    """Find the errors of locators that split, by trying every position (Chien search).

    Args:
        code: the code.
        locator: lowest power first, ``(v + 1, w)``.

    Returns:
        The positions, ascending, ``(w, v)``; a row of -1 where a root lies in the part of the code
        that was cut off when it was shortened.
    """
    v, n_words = locator.shape[0] - 1, locator.shape[1]
    period = (1 << code.degree) - 1
    exponents = np.arange(code.length - 1, -1, -1)
    log_locator = code.log.take(locator)
    positions = np.full((n_words, v), -1, dtype=np.int64)
    step = max(1, _CELLS_AT_ONCE // code.length)
    for start in range(0, n_words, step):
        block = log_locator[:, start : start + step]
        value = np.ones((block.shape[1], code.length), dtype=np.int64)
        for i in range(1, v + 1):
            value ^= code.exp.take(block[i][:, None] + ((-i * exponents) % period)[None, :])
        is_root = value == 0
        complete = np.flatnonzero(is_root.sum(axis=1) == v)
        if len(complete):
            positions[start + complete] = np.nonzero(is_root[complete])[1].reshape(-1, v)
    return positions
