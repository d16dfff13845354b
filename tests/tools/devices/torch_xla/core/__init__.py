"""The part of torch_xla.core that scripts use."""
