"""The k largest numbers of a row that are positive, in the order of their places.

Positive floating-point numbers are in the order of their bits, read as integers, so bisection on these integers finds a
threshold exactly, whatever the numbers are: first one for the maxima of groups of the row, which few other numbers
reach, then one for the numbers that reach it.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload, register_jitable

from .jit import jit, jit_inline, jit_sum
from .structs import Search

# Groups of a row for each number that is wanted, the fewest groups, and what their number is a multiple of.
GROUPS, LEAST_GROUPS, ROUND_GROUPS = 8, 64, 16


@register_jitable
def count_peaks(m, k):
    """Return into how many groups to divide a row of m numbers of which k are wanted."""
    return min(m, max(LEAST_GROUPS, -(-GROUPS * k // ROUND_GROUPS) * ROUND_GROUPS))


@intrinsic
def _count_zeros(typing_context, word):
    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


def lowest_bit(word):
    """Return the place of the lowest bit of a word that is not zero."""
    return (int(word) & -int(word)).bit_length() - 1  # only with compilation switched off


@overload(lowest_bit)
def _lowest_bit_compiled(word):
    return lambda word: np.int64(_count_zeros(word))


def as_bits(numbers):
    """Return floating-point numbers as integers, in the same memory."""
    return numbers.view(f"i{numbers.itemsize}")  # only with compilation switched off


@overload(as_bits)
def _as_bits_compiled(numbers):
    if numbers.dtype.bitwidth == 32:
        return lambda numbers: numbers.view(np.int32)
    return lambda numbers: numbers.view(np.int64)


@jit_sum
def _count(bits, least, one):
    """Return how many of ``bits`` are at least ``least``, counted in the type of ``one`` so that it vectorises."""
    zero = one - one
    total = zero
    for i in range(bits.size):
        total += one if bits[i] >= least else zero
    return total


@jit
def count_equal(bits, wanted):
    """Return how many of ``bits`` are equal to ``wanted``."""
    total = 0
    for i in range(bits.size):
        total += 1 if bits[i] == wanted else 0
    return total


@jit
def find_threshold(bits, k, slack, guess, one):
    """Return the highest threshold of at least 1 that k of ``bits`` reach, and how many reach it.

    A lower one will do if no more than k + ``slack`` reach it; it is 1 if fewer than k are positive. The search starts
    at ``guess``; ``one`` is as in `_count`.
    """
    kind = bits.dtype.type
    low, high = np.int64(1), np.int64(1)
    for i in range(bits.size):
        high = max(high, np.int64(bits[i]) + 1)
    n_low, n_high, turn = np.int64(_count(bits, kind(low), one)), np.int64(0), 0
    middle = guess if low < guess < high else low + (high - low) // 2
    while n_low > k + slack and high - low > 1:
        n_middle = np.int64(_count(bits, kind(middle), one))
        if n_middle >= k:
            low, n_low = middle, n_middle
        else:
            high, n_high = middle, n_middle
        if turn % 2:
            middle = low + (high - low) // 2
        else:
            share = (n_low - k - 0.5 * slack) / (n_low - n_high)
            middle = min(max(low + np.int64(share * (high - low)), low + 1), high - 1)
        turn += 1
    return low, n_low


@jit
def add_and_find_peaks(z, b, peaks):
    """z += b; peaks[g] = the highest of z[g], z[g + G], … and 0, for G peaks."""
    n_groups, zero = peaks.size, z.dtype.type(0)
    for g in range(n_groups):
        z[g] += b[g]
        peaks[g] = z[g] if z[g] > zero else zero
    for start in range(n_groups, z.size, n_groups):
        stop = min(start + n_groups, z.size)
        part, bias = z[start:stop], b[start:stop]
        for g in range(part.size):
            value = part[g] + bias[g]
            part[g] = value
            peaks[g] = value if value > peaks[g] else peaks[g]


@jit
def as_number(bits, cell):
    """Return the number that has these bits."""
    as_bits(cell)[0] = bits
    return cell[0]


@jit
def collect(z, peaks, limit, search):
    """Collect the numbers of z that reach ``limit``, by their groups; return how many."""
    n_groups, n = peaks.size, 0
    groups, values, places = search.groups, search.values, search.places
    n_chosen = 0
    for g in range(n_groups):
        groups[n_chosen] = g
        n_chosen += 1 if peaks[g] >= limit else 0
    for i in range(n_chosen):
        for j in range(groups[i], z.size, n_groups):
            values[n], places[n] = z[j], j
            n += 1 if z[j] >= limit else 0
    return n


@jit
def write_in_order(z, limit, n_ties, n_found, search, places, values):
    """Write the numbers found above ``limit``, and the first ``n_ties`` equal to it, in order; return how many."""
    mask, n = search.mask, 0
    for i in range(n_found):
        if search.values[i] >= limit:
            j = np.int64(search.places[i])
            mask[j >> 6] |= np.uint64(1) << np.uint64(j & 63)
    for word in range(mask.size):
        left, mask[word] = mask[word], 0
        while left:
            j = 64 * word + lowest_bit(left)
            left &= left - np.uint64(1)
            value = z[j]
            if value == limit:
                if n_ties == 0:
                    continue
                n_ties -= 1
            places[n], values[n] = j, value
            n += 1
    return n


@jit
def select(z, b, k, search, places, values):
    """Add b to z; write the k largest of the sums that are positive, of equal ones the first; return how many."""
    one, n_ties = z.dtype.type(1), z.size
    add_and_find_peaks(z, b, search.peaks)
    bits, _ = find_threshold(as_bits(search.peaks), k, max(1, k // 8), search.guesses[0], one)
    search.guesses[0] = bits
    n_found = collect(z, search.peaks, as_number(bits, search.cell), search)
    if n_found > k:
        found = as_bits(search.values[:n_found])
        bits, n_reached = find_threshold(found, k, 0, search.guesses[1], one)
        search.guesses[1] = bits
        if n_reached > k:
            n_ties = k - n_reached + count_equal(found, bits)
    return write_in_order(z, as_number(bits, search.cell), n_ties, n_found, search, places, values)


@jit
def select_above(z, b, limit, places, values):
    """Add b to z; write the sums that are positive and reach ``limit``; return how many."""
    n, zero = 0, z.dtype.type(0)
    for j in range(z.size):
        value = z[j] + b[j]
        z[j] = value
        if value >= limit and value > zero:
            places[n], values[n] = j, value
            n += 1
    return n


@jit_sum
def has_nan(z):
    """Whether any number is NaN or infinite."""
    total = z.dtype.type(0)
    for i in range(z.size):
        total += z[i] - z[i]
    return total != 0


@jit_inline
def new_search(b, k):
    """Return scratch memory for rows of the size and dtype of b, of which k numbers are wanted."""
    m, n_peaks = b.size, count_peaks(b.size, k)
    return Search(
        np.empty(n_peaks, b.dtype),
        np.empty(n_peaks + 1, np.int64),
        np.empty(m + 1, b.dtype),
        np.empty(m + 1, np.int32),
        np.zeros((m + 63) // 64, np.uint64),
        np.empty(1, b.dtype),
        np.zeros(2, np.int64),
    )
