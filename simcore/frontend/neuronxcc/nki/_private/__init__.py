"""Names of the vendor's closed modules that public kernels import."""
