"""Qwen3 from eager attention to a kernel: the model with its attention replaced, predicted, and measured on a chip.

sizes.py      the public numbers of the family, and models built from them without weights from anywhere
attention.py  the adapter between Transformers and an NKI attention kernel
graph.py      the model's own operator graph, exported at full shape without allocating anything
space.py      iteration spaces: how an operator over strided tensors becomes tiles
compile.py    operators -> launches of the kernels of kernels/, under a stated rule of fusion
predict.py    launches -> times on a machine model, added up
report.py     tables; charts.py pictures
bundle.py     what a measurement on a chip is saved as, and its comparison with a prediction
benchmark.py  the measurement itself; runs on a Trainium host
"""
