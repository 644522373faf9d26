"""Shortened systematic binary BCH codes, decoded many words at a time.

SPEX (arXiv 2502.13870) writes the support of a Fourier coefficient as the information part of a BCH
codeword and reads its parity bits off the signs of a bin. The word (0 .. 0, observed parity) then
lies at distance |S| + (wrong parity bits) from the codeword of S, so one decoding with an all-zero
information part returns S whenever that sum is at most t.

Positions: a codeword is (information bits 0 .. n-1, parity bits n .. n+p-1), and position i stands
for the power x^(n+p-1-i). Field elements are integers whose bits are polynomial coefficients over
GF(2). Everything here works on whole arrays of words; nothing loops over words.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.bool_]
Ints = NDArray[np.intp]

# Primitive (Conway) polynomials over GF(2), bit i = coefficient of x^i, by degree m.
_PRIMITIVE = {
    2: 0x7, 3: 0xB, 4: 0x13, 5: 0x25, 6: 0x5B, 7: 0x83, 8: 0x11D, 9: 0x211, 10: 0x46F, 11: 0x805,
    12: 0x10EB, 13: 0x201B, 14: 0x40A9, 15: 0x8035, 16: 0x1002D,
}  # fmt: skip

_CHUNK = 1 << 14  # words decoded at a time: the temporaries stay in the processor's cache


@dataclass(frozen=True, eq=False)
class BCH:
    """A binary BCH code over GF(2^m), shortened to n information bits.

    Attributes:
        n: information bits (players).
        t: errors that the code corrects.
        m: degree of the field.
        n_parity: parity bits p, the degree of the generator polynomial.
        parity: bool (n, p); row i holds the parity bits of information bit i alone.
        exp: powers of the primitive element, laid out so that ``exp[log[a] + log[b]]`` is a * b,
            zeros included.
        log: discrete logarithms; ``log[0]`` points into the zero part of ``exp``.
        columns: intp (n + p, t); the odd power sums S_1, S_3, .., S_(2t-1) that an error at each
            position adds to the syndrome.
    """

    n: int
    t: int
    m: int
    n_parity: int
    parity: Bits
    exp: Ints
    log: Ints
    columns: Ints

    @property
    def length(self) -> int:
        """Bits of a codeword, n + p."""
        return self.n + self.n_parity


def _tables(m: int) -> tuple[Ints, Ints]:
    """Antilogarithms and logarithms of GF(2^m), with a zero part for products with zero."""
    order = (1 << m) - 1
    powers = np.empty(order, dtype=np.intp)
    value = 1
    for i in range(order):
        powers[i] = value
        value <<= 1
        if value >> m:
            value ^= _PRIMITIVE[m]
    zero = 2 * order  # beyond every sum of two logarithms of non-zero elements
    exp = np.zeros(2 * zero + 1, dtype=np.intp)
    exp[:order], exp[order:zero] = powers, powers
    log = np.empty(order + 1, dtype=np.intp)
    log[0] = zero
    log[powers] = np.arange(order)
    return exp, log


def _generator(m: int, t: int, exp: Ints, log: Ints) -> int:
    """Generator polynomial: product of (x - a^j) over all conjugates of a, a^3, .., a^(2t-1)."""
    order = (1 << m) - 1
    roots = {(j << s) % order for j in range(1, 2 * t, 2) for s in range(m)}
    poly = [1]  # lowest power first
    for root in sorted(roots):
        shifted = [0, *poly]
        for i, c in enumerate(poly):
            shifted[i] ^= int(exp[log[c] + root]) if c else 0
        poly = shifted
    return sum(c << i for i, c in enumerate(poly))  # every coefficient is 0 or 1


def _n_parity(m: int, t: int) -> int:
    """Degree of the generator polynomial, without building it."""
    order = (1 << m) - 1
    return len({(j << s) % order for j in range(1, 2 * t, 2) for s in range(m)})


@lru_cache(maxsize=64)
def bch_code(n: int, t: int) -> BCH:
    """The shortest BCH code with n information bits that corrects t errors.

    Args:
        n: information bits, at least 1.
        t: errors to correct, at least 1.

    Returns:
        The code over the smallest field GF(2^m) with 2^m - 1 - p >= n. Cached.

    Raises:
        ValueError: n or t is below 1, or no field up to GF(2^16) holds the code.
    """
    if n < 1 or t < 1:
        raise ValueError(f"n={n}, t={t} do not make a BCH code; use n >= 1 and t >= 1.")
    for m in _PRIMITIVE:
        p = _n_parity(m, t)
        if (1 << m) - 1 - p >= n:
            break
    else:
        raise ValueError(
            f"n={n} information bits with t={t} need a field beyond GF(2^16); use fewer players "
            f"(n + 16 t <= 65535)."
        )
    exp, log = _tables(m)
    generator = _generator(m, t, exp, log)
    parity = np.zeros((n, p), dtype=np.bool_)
    remainder = 1 << p
    for i in range(n - 1, -1, -1):  # information bit i is x^(p + n-1-i), reduced by the generator
        if remainder >> p:
            remainder ^= generator
        parity[i] = [(remainder >> (p - 1 - j)) & 1 for j in range(p)]
        remainder <<= 1
    degree = np.arange(n + p - 1, -1, -1)[:, None]
    columns = exp[(degree * np.arange(1, 2 * t, 2)[None, :]) % ((1 << m) - 1)]
    for array in (parity, exp, log, columns):
        array.setflags(write=False)
    return BCH(n, t, m, p, parity, exp, log, columns)


def encode(code: BCH, information: Bits) -> Bits:
    """Parity bits of each word.

    Args:
        code: the code.
        information: bool (w, n).

    Returns:
        bool (w, p): information @ parity over GF(2).
    """
    words = np.asarray(information, dtype=np.float32) @ code.parity.astype(np.float32)
    return (words.astype(np.int64) & 1).astype(np.bool_)


def _mul(code: BCH, a: Ints, b: Ints) -> Ints:
    """Product of field elements, elementwise."""
    product: Ints = code.exp.take(code.log.take(a) + code.log.take(b))
    return product


def syndromes(code: BCH, bits: Bits, first: int = 0) -> Ints:
    """Odd power sums of received words.

    Args:
        code: the code.
        bits: bool (w, q), the bits at positions first .. first + q - 1; all others are zero.
        first: position of the first bit; ``code.n`` for words that hold parity bits only.

    Returns:
        intp (w, t): S_r = sum over the ones of X^r for r = 1, 3, .., 2t-1 (even ones are squares).
    """
    words = np.asarray(bits, dtype=np.bool_)
    columns = code.columns[first : first + words.shape[1]]
    result = np.zeros((words.shape[0], code.t), dtype=np.intp)
    for r in range(code.t):  # over GF(2): the XOR of the columns under the ones
        planes = ((columns[:, r, None] >> np.arange(code.m)) & 1).astype(np.float32)
        sums = (words.astype(np.float32) @ planes).astype(np.int64) & 1
        result[:, r] = sums @ (1 << np.arange(code.m))
    return result


def _locators(code: BCH, syndrome: Ints) -> tuple[Ints, Ints]:
    """Berlekamp's iteration for binary codes on all words at once.

    Args:
        code: the code.
        syndrome: intp (t, w), odd power sums.

    Returns:
        The error locator polynomials, intp (t + 1, w) lowest power first, and the register lengths
        intp (w,), which equal the number of errors where a word decodes.
    """
    t, w = syndrome.shape
    power = np.zeros((2 * t, w), dtype=np.intp)  # S_1 .. S_2t; S_2r = S_r^2
    for r in range(1, 2 * t + 1):
        power[r - 1] = syndrome[r // 2] if r % 2 else _mul(code, *2 * (power[r // 2 - 1],))
    log_power = code.log.take(power)
    order = (1 << code.m) - 1
    locator = np.zeros((t + 1, w), dtype=np.intp)
    locator[0] = 1
    helper = np.zeros((t + 1, w), dtype=np.intp)  # x^k B(x): what is added on a discrepancy
    helper[1] = 1
    length = np.zeros(w, dtype=np.intp)
    for r in range(t):
        discrepancy = power[2 * r].copy()
        for i in range(1, min(r + 1, t) + 1):
            if 2 * r - i >= 0:
                discrepancy ^= code.exp.take(code.log.take(locator[i]) + log_power[2 * r - i])
        log_d = code.log.take(discrepancy)
        grow = (discrepancy != 0) & (length <= r)
        inverse = np.where(discrepancy != 0, (order - log_d) % order, 0)
        renewed = np.zeros_like(helper)
        for i in range(
            2, t + 1
        ):  # x^2 times the old locator where the length grows, else the helper
            scaled = code.exp.take(code.log.take(locator[i - 2]) + inverse)
            renewed[i] = np.where(grow, scaled, helper[i - 2])
        for i in range(1, t + 1):
            locator[i] ^= code.exp.take(code.log.take(helper[i]) + log_d)
        length = np.where(grow, 2 * r + 1 - length, length)
        helper = renewed
    return locator, length


def _splits(code: BCH, locator: Ints) -> Bits:
    """Which locators of degree v have v different roots in the field, without finding them.

    The reversed locator s(x), monic with roots X_i, splits exactly if x^(2^m) = x modulo s(x). A
    random polynomial passes with probability about 1/v!, so almost no pattern reaches the root
    search.

    Args:
        code: the code.
        locator: intp (v + 1, w), lowest power first, constant term 1, leading term not 0.

    Returns:
        bool (w,).
    """
    v, w = locator.shape[0] - 1, locator.shape[1]
    if v == 1:
        return np.ones(w, dtype=np.bool_)
    exp, log = code.exp, code.log
    low = log.take(locator[:0:-1])  # s(x) = x^v + sum_i low_i x^i, as logarithms
    reduced = {}  # x^e mod s(x) as logarithms, for even e >= v
    current = locator[:0:-1].copy()
    for e in range(v, 2 * v - 1):
        if e > v:
            log_lead = log.take(current[v - 1])
            current = np.concatenate([np.zeros((1, w), dtype=np.intp), current[:-1]])
            current ^= exp.take(low + log_lead)
        if e % 2 == 0:
            reduced[e] = log.take(current)
    order = (1 << code.m) - 1
    square = exp.take((2 * log) % order)
    square[0] = 0
    log_square = log.take(square)
    y = np.zeros((v, w), dtype=np.intp)
    y[1] = 1
    for _ in range(code.m):
        new = np.zeros_like(y)
        for i in range(v):
            if 2 * i < v:
                new[2 * i] ^= square.take(y[i])
            else:
                new ^= exp.take(reduced[2 * i] + log_square.take(y[i]))
        y = new
    y[1] ^= 1
    return np.logical_not(y.any(axis=0), dtype=np.bool_)


def _roots(code: BCH, locator: Ints) -> Ints:
    """Positions of the v errors of locators that split (Chien search over the shortened length).

    Args:
        code: the code.
        locator: intp (v + 1, w).

    Returns:
        intp (w, v), ascending; a row of -1 where a root lies in the part that was shortened away.
    """
    v, w = locator.shape[0] - 1, locator.shape[1]
    order = (1 << code.m) - 1
    degree = np.arange(code.length - 1, -1, -1)  # error at degree e: root X^-1 = a^-e
    logs = code.log.take(locator)
    found = np.full((w, v), -1, dtype=np.intp)
    step = max(1, (1 << 20) // code.length)
    for start in range(0, w, step):
        part = logs[:, start : start + step]
        value = np.ones((part.shape[1], code.length), dtype=np.intp)
        for i in range(1, v + 1):
            value ^= code.exp.take(part[i][:, None] + ((-i * degree) % order)[None, :])
        is_root = value == 0
        complete = np.flatnonzero(is_root.sum(axis=1) == v)
        if len(complete):
            found[start + complete] = np.nonzero(is_root[complete])[1].reshape(-1, v)
    return found


def locate(code: BCH, syndrome: Ints) -> tuple[Ints, Ints]:
    """Error positions from odd power sums.

    Args:
        code: the code.
        syndrome: intp (w, t), as from ``syndromes``.

    Returns:
        positions intp (w, t), ascending and padded with -1 at the end, and the number of errors
        intp (w,), which is -1 where no codeword lies within distance t.
    """
    w = syndrome.shape[0]
    positions = np.full((w, code.t), -1, dtype=np.intp)
    n_errors = np.full(w, -1, dtype=np.intp)
    for start in range(0, w, _CHUNK):
        part = np.ascontiguousarray(syndrome[start : start + _CHUNK].T)
        locator, length = _locators(code, part)
        n_errors[start : start + part.shape[1]][length == 0] = 0
        for v in range(1, code.t + 1):
            index = np.flatnonzero((length == v) & (locator[v] != 0))
            if len(index) == 0:
                continue
            chosen = np.ascontiguousarray(locator[: v + 1, index])
            split = np.flatnonzero(_splits(code, chosen))
            if len(split) == 0:
                continue
            roots = _roots(code, chosen[:, split])
            good = roots[:, 0] >= 0
            rows = start + index[split[good]]
            positions[rows, :v] = roots[good]
            n_errors[rows] = v
    return positions, n_errors


def decode_hard(code: BCH, words: Bits) -> tuple[Bits, Ints]:
    """Corrects up to t errors in every received word.

    Args:
        code: the code.
        words: bool (w, n + p).

    Returns:
        The corrected words, bool (w, n + p), and the number of errors corrected, intp (w,): -1
        where the word lies farther than t from every codeword, and is returned unchanged.

    Raises:
        ValueError: words of another length.
    """
    received = np.array(words, dtype=np.bool_)
    if received.ndim != 2 or received.shape[1] != code.length:
        raise ValueError(
            f"words of shape {received.shape} do not fit a code of length {code.length}; "
            f"pass (w, {code.length}), information bits first."
        )
    positions, n_errors = locate(code, syndromes(code, received))
    rows, slots = np.nonzero(positions >= 0)
    received[rows, positions[rows, slots]] ^= True
    return received, n_errors
