"""`nki.collectives`."""
