"""Pairwise combinations, greedily: every pair of values of two parameters that the filter allows occurs in some row."""

import itertools


class AllPairs:
    """Iterates over rows of parameter values (lists)."""

    def __init__(self, parameters, filter_func=lambda row: True, **ignored):
        self.parameters, self.allowed = [list(p) for p in parameters], filter_func

    def __iter__(self):
        sizes = [range(len(p)) for p in self.parameters]
        missing = {((a, i), (b, j)) for a, b in itertools.combinations(range(len(sizes)), 2) for i in sizes[a]
                   for j in sizes[b]}
        while missing:
            row = self._row(missing)
            if row is None:
                return
            yield [p[i] for p, i in zip(self.parameters, row, strict=True)]
            missing -= {((a, row[a]), (b, row[b])) for a, b in itertools.combinations(range(len(row)), 2)}

    def _row(self, missing):
        """The first row found that holds a missing pair; pairs that no row can hold are dropped."""
        for pair in sorted(missing):
            fixed = dict(pair)
            row = self._extend([], fixed, missing, [2000])
            if row is not None:
                return row
            missing.discard(pair)
        return None

    def _extend(self, row, fixed, missing, budget):
        """Fill the row up, within a budget of steps: filters may allow very few rows."""
        k = len(row)
        budget[0] -= 1
        if budget[0] < 0:
            return None
        if k == len(self.parameters):
            return row
        options = [fixed[k]] if k in fixed else sorted(range(len(self.parameters[k])),
                                                       key=lambda i: -sum(((a, row[a]), (k, i)) in missing
                                                                          for a in range(k)))
        for i in options:
            grown = [*row, i]
            if self.allowed([p[j] for p, j in zip(self.parameters, grown, strict=False)]):
                done = self._extend(grown, fixed, missing, budget)
                if done is not None:
                    return done
        return None
