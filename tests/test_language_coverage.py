"""Every symbol of the reference of the current dialect is there (the list comes from the facts folder)."""

import re

import pytest

from simcore.frontend import activate

with activate():
    import nki
    import nki.collectives
    import nki.isa
    import nki.language

SECTIONS = {"3": nki, "4": nki.language, "5": nki.isa, "6": nki.collectives}


def symbols(text: str) -> list[tuple[str, str, str]]:
    """(section, tier, name) of each table row: the names in backticks of its first column."""
    found, section = [], ""
    for line in text.splitlines():
        heading = re.match(r"#+ (\d+)", line)
        if heading:
            section = heading.group(1)
        cells = [c.strip() for c in line.strip().strip("|").split("|")]
        if section not in SECTIONS or not line.startswith("|") or not cells[0].startswith("`"):
            continue
        tier = cells[1] if len(cells) > 1 and cells[1] in ("1", "2", "3") else "-"
        names = re.findall(r"`([A-Za-z_][\w.]*)`", cells[0]) or re.findall(r"[a-z_]\w+", cells[0])
        found += [(section, tier, n) for n in re.findall(r"\w[\w.]*", ", ".join(names) or cells[0].strip("`"))]
    return found


def operators(text: str) -> list[str]:
    section = text[text.index("### 4.5"):text.index("## 5.")]
    return sorted(set(re.findall(r"`([a-z_0-9]+)` \d+/\d+", section))
                  | set(re.findall(r"^\| `([a-z_]+)` \| \d", section, re.M)))


def missing_of(found) -> list[str]:
    missing = []
    for section, _, name in found:
        home = SECTIONS[section]
        for part in name.split("."):
            try:
                home = getattr(home, part)
            except AttributeError:
                missing.append(f"{SECTIONS[section].__name__}.{name}")
                break
    return missing


@pytest.fixture(scope="module")
def reference(facts) -> str:
    return (facts / "nki-api.md").read_text(encoding="utf-8")


def test_every_symbol_is_there(reference):
    found = symbols(reference)
    assert len(found) > 120
    assert missing_of(found) == []


def test_every_operator_is_there(reference):
    assert [n for n in operators(reference) if not hasattr(nki.language, n)] == []


def test_every_instruction_has_the_documented_arguments(reference):
    import inspect

    section = reference[reference.index("## 5. "):reference.index("## 6. ")]
    wrong = []
    for name, signature in re.findall(r"^\| `(\w+)` \| \d \| [^|]+\| `\((.*?)\)` \|", section, re.M):
        want = [a.split("=")[0].strip() for a in re.split(r",(?![^()]*\))", signature)]
        have = list(inspect.signature(getattr(nki.isa, name)).parameters)
        wrong += [f"{name}({a})" for a in want if a and a not in have]
    assert wrong == []
