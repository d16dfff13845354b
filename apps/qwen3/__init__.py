"""Qwen3 from eager attention to a kernel: the model with its attention replaced, predicted, and measured on a chip.

- sizes.py: the public numbers of the family, and models built from them without weights from anywhere
- attention.py: the adapter between Transformers and an NKI attention kernel
- graph.py: the model's own operator graph, exported at full shape without allocating anything
- compile.py: operators -> launches of the kernels of kernels/, under a stated rule of fusion; its stages are
  translate.py, fuse.py and emit.py (with space.py: how strided tensors become tiles), their terms ops.py
- execute.py: launches with values, to check that they compute the model
- predict.py: launches -> times on a machine model, added up; published.py: what was measured
- report.py and charts.py: predictions as tables and pictures; commands.py: the command line
- benchmark.py: the measurement itself, on a Trainium host; bundle.py: what it saves, and the comparison
"""
