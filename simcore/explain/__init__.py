"""explain: why a run is not faster, and what would make it so.

Bounds beside the time, the critical path by engine and by kernel line, stalls by cause; then each of the ten
optimisations of the vendor's performance guide that applies: where, what it costs, what to change.  The cost is not a
rule of thumb: the instructions are rewritten as the guide advises and simulated again.
"""

from simcore.explain.explanation import Explanation, explain
from simcore.explain.finding import Finding
from simcore.explain.rules import RULES, Rule

__all__ = ["RULES", "Explanation", "Finding", "Rule", "explain"]
