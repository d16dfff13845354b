"""A chain of element-wise operators over tensors in HBM: load, compute, store, tile after tile.

What to look for in its timeline: whatever the chain is, the DMA lanes are full and the compute lanes are mostly empty.
An element that travels to the chip and back for one multiplication costs as much as one that is multiplied, masked and
exponentiated on the way, so joining neighbouring operators into one chain removes traffic, not work. Compare
`--chain scale`, run three times, with `--chain scale,mask,exp`.
"""

import argparse

import ml_dtypes  # noqa: F401  (gives NumPy its bfloat16)
import nki
import nki.isa as nisa
import nki.language as nl
import numpy as np

BINARY = {"add": nl.add, "subtract": nl.subtract, "multiply": nl.multiply, "maximum": nl.maximum, "equal": nl.equal,
          "less_equal": nl.less_equal, "not_equal": nl.not_equal, "logical_and": nl.logical_and, "mod": nl.mod}
UNARY = {"exp": nl.exp, "rsqrt": nl.rsqrt, "silu": nl.silu, "sin": nl.sin}
ROWS = {"max": nl.maximum, "sum": nl.add, "mean": nl.add}


@nki.jit
def pointwise(inputs, reads, dims, chain, results, writes, sizes):
    """Apply a chain of operators to every element.

    inputs   tensors in HBM of any shape, each read through its view
    reads    for each input (strides, offset) in elements over `dims`; stride 0 repeats the input along a dimension
    dims     (loops, partitions, free): three tuples of sizes, outermost first; `partitions` holds one size
    chain    steps (operator, operands, dtype): an operand is the number of an input or, counted on from there, of an
             earlier step; a float is a constant. Operators: those of BINARY and UNARY, "divide", "square", "copy", and
             those of ROWS, which reduce the last free dimension to size 1
    results  numbers of the steps (or inputs) to write; `writes` their strides over `dims`, `sizes` their elements
    """
    loops, partitions, free = dims
    outs = []
    for number, size in zip(results, sizes):
        dtype = inputs[number].dtype if number < len(inputs) else chain[number - len(inputs)][2]
        outs.append(nl.ndarray((size,), dtype=dtype, buffer=nl.shared_hbm))
    for index in every(loops):
        for first in range(0, partitions[0], nl.tile_size.pmax):
            count = min(nl.tile_size.pmax, partitions[0] - first)
            values = []
            for source, read in zip(inputs, reads):
                values.append(load(source, read, index, first, count, free))
            for step in chain:
                values.append(apply(step, values, (count,) + free))
            for out, number, strides in zip(outs, results, writes):
                store(out, strides, index, first, values[number], (count,) + free)
    return tuple(outs)


def volume(sizes):
    result = 1
    for size in sizes:
        result *= size
    return result


def every(sizes):
    """All indices of a space, in row-major order."""
    indices = [()]
    for size in sizes:
        indices = [index + (i,) for index in indices for i in range(size)]
    return indices


def start_of(strides, index, first):
    """Element at which the tile of a loop index and a first partition begins."""
    start = first * strides[len(index)]
    for i, stride in zip(index, strides):
        start += i * stride
    return start


def load(source, read, index, first, count, free):
    """One tile; a dimension with stride 0 is loaded once and has size 1."""
    strides, offset = read
    loops = len(index)
    pattern = [[strides[loops], count]]
    shape = (count,)
    for stride, size in zip(strides[loops + 1 :], free):
        pattern.append([stride, size] if stride else [1, 1])
        shape += (size if stride else 1,)
    tile = nl.ndarray(shape, dtype=source.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=source.ap(pattern, offset=offset + start_of(strides, index, first)))
    return tile


def store(out, strides, index, first, tile, shape):
    """One tile to its place; a dimension with stride 0 is one value for a row."""
    loops = len(index)
    pattern = [[strides[loops], shape[0]]]
    sizes = shape[:1]
    for stride, size in zip(strides[loops + 1 :], shape[1:]):
        pattern.append([stride, size] if stride else [1, 1])
        sizes += (size if stride else 1,)
    nisa.dma_copy(dst=out.ap(pattern, offset=start_of(strides, index, first)), src=spread(tile, sizes))


def spread(tile, shape):
    """A view of a tile with its dimensions of size 1 repeated."""
    for dim in range(1, len(shape)):
        if tile.shape[dim] != shape[dim]:
            tile = tile.broadcast(dim, shape[dim])
    return tile


def apply(step, values, shape):
    """One operator on one tile, on the engine that suits it."""
    operator, operands, dtype = step
    tiles = [values[o] for o in operands if not isinstance(o, float)]
    sizes = shape[:1]
    for dim in range(1, len(shape)):
        sizes += (max([t.shape[dim] for t in tiles]),)
    if operator in ROWS:
        sizes = sizes[:-1] + (1,)
    dst = nl.ndarray(sizes, dtype=dtype, buffer=nl.sbuf)
    if operator == "copy":
        nisa.tensor_copy(dst=dst, src=tiles[0], engine=nisa.engine.vector)
    elif operator in UNARY:
        nisa.activation(dst=dst, op=UNARY[operator], data=tiles[0])
    elif operator in ROWS:
        nisa.tensor_reduce(dst=dst, op=ROWS[operator], data=tiles[0], axis=len(shape) - 1, keepdims=True)
        if operator == "mean":
            nisa.tensor_scalar(dst=dst, data=dst, op0=nl.multiply, operand0=1.0 / shape[-1], engine=nisa.engine.vector)
    elif operator == "square":
        nisa.tensor_tensor(dst=dst, data1=tiles[0], data2=tiles[0], op=nl.multiply, engine=nisa.engine.vector)
    elif operator == "divide":
        inverse = nl.ndarray(tiles[1].shape, dtype=nl.float32, buffer=nl.sbuf)
        nisa.reciprocal(dst=inverse, data=tiles[1])
        binary(dst, tiles[0], inverse, nl.multiply)
    elif len(tiles) == 2:
        binary(dst, tiles[0], tiles[1], BINARY[operator])
    else:
        constant = next(o for o in operands if isinstance(o, float))
        nisa.tensor_scalar(dst=dst, data=tiles[0], op0=BINARY[operator], operand0=constant,
                           reverse0=isinstance(operands[0], float), engine=nisa.engine.vector)
    return dst


def binary(dst, a, b, op):
    """a op b. A (P, 1) float32 operand is a scalar per partition, which is cheaper than a tile."""
    if b.dtype == nl.float32 and volume(b.shape[1:]) == 1 and volume(dst.shape[1:]) > 1:
        nisa.tensor_scalar(dst=dst, data=spread(a, dst.shape), op0=op, operand0=b.reshape((b.shape[0], 1)),
                           engine=nisa.engine.vector)
    else:
        nisa.tensor_tensor(dst=dst, data1=spread(a, dst.shape), data2=spread(b, dst.shape), op=op,
                           engine=nisa.engine.vector)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--columns", type=int, default=2048)
    parser.add_argument("--chain", default="scale,mask,exp", help="of scale, mask, exp")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--no-check", action="store_true", help="do not compare with NumPy")
    args = parser.parse_args()

    rng = np.random.default_rng(0)
    x = rng.standard_normal((args.rows, args.columns), dtype=np.float32).astype(args.dtype)
    mask = rng.standard_normal((args.columns,), dtype=np.float32).astype(args.dtype)
    operands = {"scale": ("multiply", (0.5,)), "mask": ("add", (1,)), "exp": ("exp", ())}
    chain = []
    for number, name in enumerate(args.chain.split(",")):
        operator, more = operands[name]
        chain.append((operator, (1 + number if number else 0,) + more, args.dtype))
    (out,) = pointwise([x, mask], (((args.columns, 1), 0), ((0, 1), 0)), ((), (args.rows,), (args.columns,)),
                       tuple(chain), (1 + len(chain),), ((args.columns, 1),), (x.size,))
    if not args.no_check:
        exact = x.astype(np.float32)
        for name in args.chain.split(","):
            exact = {"scale": 0.5 * exact, "mask": exact + mask.astype(np.float32), "exp": np.exp(exact)}[name]
        tolerance = 1e-5 if args.dtype == "float32" else 5e-2
        result = np.asarray(out).astype(np.float32).reshape(x.shape)
        np.testing.assert_allclose(result, exact, rtol=tolerance, atol=tolerance)
        print(f"pointwise {args.chain} {x.shape} {args.dtype}: agrees with NumPy")


if __name__ == "__main__":
    main()
