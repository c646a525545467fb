"""Sums: the result of a line that asks for a sum and for nothing else, worked out rather than written by the model."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Final

LONGEST: Final = 80
"""Characters of a line that is looked at."""
LARGEST: Final = 10**15
"""Numbers beyond it, and powers with a higher exponent than HIGHEST, are not worked out."""
HIGHEST: Final = 64
PLACES: Final = 4
"""Digits after the point of a result that is rounded."""

_ASKS = re.compile(
    r"(?:(?:hey|hi|hello|ok|okay|so|and|please|varda|quick one|quick question)[,!: ]+)*"
    r"(?P<asks>(?:what(?:['’]?s| is| are| does| do)|how much(?: is| are| does| do)?|calculate|compute|work out"
    r"|(?:can|could) you (?:calculate|work out|tell me what)|tell me what)\s+)?"
    r"(?P<sum>.+?)"
    r"(?P<end>\s*(?:=|equals?|makes?|is)?\s*(?:,?\s*please)?\s*[?.!=]*\s*)",
    re.IGNORECASE,
)
_WORDS: Final = (
    (r"(?<=\d),(?=\d{3}(?!\d))", ""),
    (r"\bone half of\b|\b(?:a )?half of\b", "1 / 2 *"),
    (r"\b(?:a|one) third of\b", "1 / 3 *"),
    (r"\b(?:a|one) quarter of\b", "1 / 4 *"),
    (r"\b(?:twice|double)\b", "2 *"),
    (r"\s*(?:%|\bpercent\b|\bper cent\b) of\b", " / 100 *"),
    (r"\bplus\b|\badded to\b", " + "),
    (r"\bminus\b|\btake away\b|\bless\b|−", " - "),
    (r"\btimes\b|\bmultiplied by\b|×|·|(?<=[\d)])\s*x\s*(?=[\d(])", " * "),
    (r"\bdivided by\b|÷", " / "),
    (r"\bto the power of\b|\^", " ** "),
    (r"\bsquared\b|²", " ** 2 "),
    (r"\bcubed\b|³", " ** 3 "),
)
"""What stands for an operator of Python's, in order."""
_ONLY_NUMBERS = re.compile(r"[\d.\s+*/()-]+")
# a date, a score, a phone number and "24/7" are no sums
_NAMES = re.compile(r"\d[-/]\d")
_OPERATORS: Final[dict[type, Callable[[Fraction, Fraction], Fraction]]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip


def worked_out(line: str) -> str | None:
    """The reply to ``line`` if it asks for a sum and for nothing else, None otherwise."""
    asked = _ASKS.fullmatch(line.strip()) if len(line) <= LONGEST else None
    if asked is None or _NAMES.search(asked["sum"]):
        return None
    text = asked["sum"]
    for words, sign in _WORDS:
        text = re.sub(words, sign, text, flags=re.IGNORECASE)
    bare = not asked["asks"] and not set("=?") & set(asked["end"])
    if not _ONLY_NUMBERS.fullmatch(text) or (bare and not set("+*") & set(text)):
        return None
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        result = _value(tree)
    except ZeroDivisionError:
        return "Nothing can be divided by zero."
    except (SyntaxError, ValueError, RecursionError):
        return None
    return f"That's {_written(result)}." if isinstance(tree, ast.BinOp) else None


def _value(tree: ast.expr) -> Fraction:
    """Raises ValueError for what is no sum or too large, ZeroDivisionError."""
    match tree:
        case ast.Constant(value=int() | float()):
            value = Fraction(str(tree.value))
        case ast.UnaryOp(op=ast.USub()):
            value = -_value(tree.operand)
        case ast.BinOp(op=ast.Pow()):
            base, power = _value(tree.left), _value(tree.right)
            if power.denominator != 1 or not 0 <= power <= HIGHEST or abs(base) > 1000:
                raise ValueError(ast.dump(tree))
            value = base ** int(power)
        case ast.BinOp(op=op) if type(op) in _OPERATORS:
            value = _OPERATORS[type(op)](_value(tree.left), _value(tree.right))
        case _:
            raise ValueError(ast.dump(tree))
    if abs(value) > LARGEST:
        raise ValueError(f"{value} is too large")
    return value


def _written(value: Fraction) -> str:
    """As digits, "about" before them where there would be too many."""
    if value.denominator == 1:
        return f"{int(value):,}"
    rounded = round(value, PLACES)
    digits = f"{float(rounded):,.{PLACES}f}".rstrip("0").rstrip(".")
    return digits if rounded == value else f"about {digits}"
