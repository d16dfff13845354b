"""Instructions of this kind: see the table in isa/table.py for how a row is written."""
