"""Predicted beside measured: the validation set, its runner and its report."""
