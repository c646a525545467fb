"""Lines on how far training an adapter is."""

from __future__ import annotations


def say(line: str) -> None:
    """Print ``line`` at once, wherever the output goes."""
    print(line, flush=True)


def shown(smooth: dict[str, float]) -> str:
    """One line of figures: losses, then shares of what is counted."""

    def share(part: str, whole: str) -> str:
        return f"{100 * smooth.get('#' + part, 0) / max(1e-9, smooth.get('#' + whole, 0)):.0f}%"

    terms = " ".join(f"{k} {v:.2f}" for k, v in smooth.items() if not k.startswith("#"))
    shares = (
        f"found {share('found', 'sought')} admit {share('admitted', 'unknown')} value {share('values', 'spoken')} "
        f"said {share('values_right', 'values_said')} store {share('stored', 'user_tokens')}/"
        f"{share('value_stored', 'value_tokens')} intent {share('intent_right', 'intents')} "
        f"del {share('deleted', 'obsolete')}/{share('wrongly', 'turns')}"
    )
    return f"{terms} | {shares}"
