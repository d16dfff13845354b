"""NKI in, Trace out."""

from simcore.frontend.activation import activate
from simcore.frontend.launch import Session, TensorSpec, capture, profile, use_session

__all__ = ["Session", "TensorSpec", "activate", "capture", "profile", "use_session"]
