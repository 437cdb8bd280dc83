"""How many rows and units to work on at a time."""

from numba.extending import register_jitable

# Rows at a time where all of their features are in memory.
BLOCK_ROWS = 1024

# Where there are many features: how many numbers the rows in memory have at a time, also sparse rows made dense.
LARGEST_BLOCK = 2**22

# Rows of a block for small and for large models, whose weights BLAS copies in every block; the weights of a layer above
# which a model is large; and the multiply-adds of a group below which a thread would wait longer than it works.
ROWS_OF_BLOCK, ROWS_OF_LARGE_BLOCK, LARGE_MODEL = 128, 256, 2**13
LEAST_WORK = 2**15

# The most groups of rows, on which threads work side by side; and, where there are more than two, the most numbers in
# all of their gradients together.
MOST_GROUPS, MOST_GRADIENTS = 8, 2**24

# Where threads share out units: about how many a piece has, and the fewest weights of a layer.
UNITS_OF_PIECE, LEAST_WEIGHTS = 128, 2**14

# Blocks of a group between two meetings of the threads.
BLOCKS_OF_ROUND = 8

# For inference: how many numbers the inputs and outputs of a block of rows have, and the fewest and most rows.
INFERENCE_NUMBERS, LEAST_ROWS, MOST_ROWS = 2**15, 256, 1024

# Multiply-adds up to which OpenBLAS computes a product in the calling thread.
SERIAL_PRODUCT = 2**18


def block_rows(n_features):
    """Return how many rows to work on at a time where all of their features are in memory."""
    return max(1, min(BLOCK_ROWS, LARGEST_BLOCK // n_features))


def rows_of_block(largest, n_groups, d, m):
    """Return the most rows of a block, where the largest of ``n_groups`` groups has ``largest`` rows."""
    few = max(1, LARGEST_BLOCK // (n_groups * d))
    n_blocks = max(1, round(largest / _usual_rows(d, m)), count_batches(largest, few))
    return count_batches(largest, n_blocks)


def _usual_rows(d, m):
    return ROWS_OF_LARGE_BLOCK if d * m > LARGE_MODEL else max(ROWS_OF_BLOCK, LEAST_WORK // (d * m))


def _even(number):
    """Return the nearest even number, at least 2, so that two threads have equal shares."""
    return 2 * max(1, round(number / 2))


def count_groups(n, d, m):
    """Return into how many groups to divide n rows: an even number, unless it is one."""
    memory = max(2, min(MOST_GRADIENTS // (2 * d * m), LARGEST_BLOCK // (32 * d)))  # 32 rows a block, if possible
    most = min(n // 16, n * d * m // LEAST_WORK, MOST_GROUPS, memory)
    return 1 if most < 2 else min(most // 2 * 2, _even(n / _usual_rows(d, m)))


def count_row_blocks(n, d, m):
    """Return into how many blocks to divide a batch of n rows: an even number, unless it is one."""
    most = min(n // 16, n * d * m // LEAST_WORK)
    return 1 if most < 2 else min(most // 2 * 2, _even(n / _usual_rows(d, m)))


def shares_units(n, d, m):
    """Whether threads share out units, in batches of n rows: if weights are many, and more than inputs and codes."""
    return m >= 32 and d * m >= LEAST_WEIGHTS and 2 * d * m > n * (d + m)


def count_pieces(m):
    """Return into how many pieces to divide m units."""
    return _even(m / UNITS_OF_PIECE)


@register_jitable
def count_batches(n, batch_size):
    """Return how many batches of at most ``batch_size`` rows n rows make."""
    return -(-n // batch_size)


@register_jitable
def inference_rows(d, m):
    """Return how many rows of inputs and outputs to compute at a time for a layer of d x m."""
    return max(LEAST_ROWS, min(MOST_ROWS, INFERENCE_NUMBERS // (d + m)))
