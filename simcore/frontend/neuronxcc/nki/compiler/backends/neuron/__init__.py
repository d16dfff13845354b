"""Names of the vendor's compiler that kernels use in annotations."""
