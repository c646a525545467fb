"""What the shell offers for a flag, by click's completion. Imports nothing before it is asked, and never fails."""

from __future__ import annotations

import click


def profile_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The profiles in the data directory that the command names."""
    from varda_chat.config import paths
    from varda_chat.errors import VardaError
    from varda_chat.session import profiles

    given = ctx.params.get("data_dir") or ctx.find_root().params.get("data_dir")
    try:
        names = [each.name for each in profiles.directories(given) if paths.is_profile_name(each.name)]
    except (VardaError, OSError):
        return []
    return [name for name in names if name.startswith(incomplete)]
