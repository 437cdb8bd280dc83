"""Weighted sums of picked rows of a matrix, and inner products with them: products of a sparse code and the weights."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from .jit import jit_sum

VECTOR_BYTES = 64


def _adder(n_vectors):
    """Return an intrinsic that adds up a few columns of the picked rows in registers.

    A numba loop would read and write the sums every few rows.
    """

    @intrinsic
    def add(typing_context, out, table, rows, factors, start, stop, column):
        def generate(context, builder, signature, arguments):
            arrays = zip(signature.args[:4], arguments[:4], strict=True)
            views = [context.make_array(kind)(context, builder, array) for kind, array in arrays]
            (out, table, rows, factors), (start, stop, column) = (view.data for view in views), arguments[4:]
            width = cgutils.unpack_tuple(builder, views[1].shape)[1]
            lanes = 8 * VECTOR_BYTES // signature.args[0].dtype.bitwidth
            vector = ir.VectorType(out.type.pointee, lanes)
            alignment, lane = VECTOR_BYTES // lanes, ir.IntType(32)
            everywhere = ir.Constant(ir.VectorType(lane, lanes), [0] * lanes)

            def place(base, offset, i):
                at = builder.gep(base, [builder.add(offset, ir.Constant(offset.type, lanes * i))])
                return builder.bitcast(at, vector.as_pointer())

            def load(base, offset, i):
                return builder.load(place(base, offset, i), align=alignment)

            sums = [cgutils.alloca_once_value(builder, load(out, column, i)) for i in range(n_vectors)]
            with cgutils.for_range(builder, builder.sub(stop, start)) as loop:
                entry = builder.add(start, loop.index)
                row = builder.sext(builder.load(builder.gep(rows, [entry])), width.type)
                offset = builder.add(builder.mul(row, width), column)
                factor = builder.load(builder.gep(factors, [entry]))
                factor = builder.insert_element(ir.Constant(vector, ir.Undefined), factor, ir.Constant(lane, 0))
                factor = builder.shuffle_vector(factor, factor, everywhere)
                for i, total in enumerate(sums):
                    product = builder.fmul(factor, load(table, offset, i), flags=("contract",))
                    builder.store(builder.fadd(product, builder.load(total), flags=("contract",)), total)
            for i, total in enumerate(sums):
                builder.store(builder.load(total), place(out, column, i), align=alignment)
            return context.get_dummy_value()

        numbers = types.int64, types.int64, types.int64
        return types.void(out, table, rows, factors, *numbers), generate

    return add


_ADD_16, _ADD_4, _ADD_1 = _adder(16), _adder(4), _adder(1)


def add_picked(out, table, rows, factors, start, stop):
    """out += sum over q = start … stop of factors[q] table[rows[q]], for contiguous arrays."""
    out += factors[start:stop] @ table[rows[start:stop]]  # only with compilation switched off


@overload(add_picked)
def _add_picked_compiled(out, table, rows, factors, start, stop):
    lanes = 8 * VECTOR_BYTES // out.dtype.bitwidth

    def add(out, table, rows, factors, start, stop):
        column, width = 0, out.size
        while column + 16 * lanes <= width:
            _ADD_16(out, table, rows, factors, start, stop, column)
            column += 16 * lanes
        while column + 4 * lanes <= width:
            _ADD_4(out, table, rows, factors, start, stop, column)
            column += 4 * lanes
        while column + lanes <= width:
            _ADD_1(out, table, rows, factors, start, stop, column)
            column += lanes
        if column < width:
            rest = out[column:]
            for q in range(start, stop):
                factor, row = factors[q], table[rows[q], column:]
                for k in range(rest.size):
                    rest[k] += factor * row[k]

    return add


@jit_sum
def dot_picked(vector, table, rows, n, out):
    """out[q] = <vector, table[rows[q]]> for q < n."""
    zero, whole = vector.dtype.type(0), n - n % 4
    for q in range(0, whole, 4):
        first, second, third, fourth = table[rows[q]], table[rows[q + 1]], table[rows[q + 2]], table[rows[q + 3]]
        a, b, c, d = zero, zero, zero, zero
        for k in range(vector.size):
            value = vector[k]
            a += value * first[k]
            b += value * second[k]
            c += value * third[k]
            d += value * fourth[k]
        out[q], out[q + 1], out[q + 2], out[q + 3] = a, b, c, d
    for q in range(whole, n):
        row, total = table[rows[q]], zero
        for k in range(vector.size):
            total += vector[k] * row[k]
        out[q] = total
