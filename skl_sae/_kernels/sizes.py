"""How many rows to work on at a time, and which models are small."""

from numba.extending import register_jitable

# Models with at most this many weights in a layer are computed by our own loops: a call of BLAS costs more than it
# saves there, and its threads wait by spinning.
SMALL_MODEL = 2**13

# Rows in a block: for BLAS, enough to run at full speed and few enough to stay in cache; for our loops, as many as
# make a block of inputs and codes hold about this many numbers.
BLOCK_ROWS = 1024
BLOCK_NUMBERS = 2**14

# A block of many features has fewer rows and about this many numbers, the size of a block of sparse rows made dense.
LARGEST_BLOCK = 2**22

# For inference, multiply-adds up to which OpenBLAS computes a product in the calling thread.
SERIAL_PRODUCT = 2**18


def is_small(n_features, n_components):
    """Whether our own loops compute a model of this size."""
    return n_features * n_components <= SMALL_MODEL


def block_rows(n_features):
    """Return how many rows to work on at a time where all of their features are in memory."""
    return max(1, min(BLOCK_ROWS, LARGEST_BLOCK // n_features))


@register_jitable
def count_batches(n, batch_size):
    """Return how many batches of at most ``batch_size`` rows n rows make."""
    return -(-n // batch_size)


@register_jitable
def inference_rows(n, d, m):
    """Return how many of n rows to multiply at a time with a matrix of d x m."""
    return max(1, min(n, SERIAL_PRODUCT // (d * m) if d * m <= SMALL_MODEL else BLOCK_ROWS))
