"""Markdown from a model: no HTML, no markup in tooltips, and a link is shown to the person, never opened."""

from __future__ import annotations

from functools import cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from textual.app import ComposeResult
from textual.await_complete import AwaitComplete
from textual.content import Content
from textual.widgets import Markdown
from textual.widgets import _markdown as textual_markdown


def _keep_line_breaks(state: StateCore) -> None:
    """In a chat a line break is meant: show it, where Markdown would join the lines."""
    for token in state.tokens:
        for child in token.children or ():
            if child.type == "softbreak":
                child.type = "hardbreak"


@cache
def make_parser() -> MarkdownIt:
    """A GitHub-flavoured parser that takes HTML for the text it is. Making one takes longer than most parsing."""
    parser = MarkdownIt("gfm-like", {"html": False})
    parser.core.ruler.push("keep_line_breaks", _keep_line_breaks)
    return parser


class _PlainTableContent(textual_markdown.MarkdownTableContent):
    """Cells without tooltips: Textual's read the cell's text as markup, so ``[/x]`` in a cell would crash."""

    def compose(self) -> ComposeResult:
        for header in self.headers:
            yield textual_markdown.MarkdownTableCellContents(header, classes="header")
        for row_index, row in enumerate(self.rows, 1):
            for cell in row:
                yield textual_markdown.MarkdownTableCellContents(cell, classes=f"row{row_index} cell")
            self.last_row = row_index


class _PlainTable(textual_markdown.MarkdownTable):
    def compose(self) -> ComposeResult:
        self._headers, self._rows = self._get_headers_and_rows()
        yield _PlainTableContent(self._headers, self._rows)


class _GrowingParagraph(textual_markdown.MarkdownParagraph):
    """A paragraph that lets the screen be laid out again only where it has become higher."""

    def set_content(self, content: Content) -> None:
        self._content = content
        width, height = self.outer_size
        rules: Any = self.styles
        self.update(content, layout=not width or content.get_height(rules, width) != height)


class AnswerMarkdown(Markdown):
    """A Markdown widget for text we do not trust, which comes in many small pieces."""

    BLOCKS = {  # noqa: RUF012 - Textual's own declaration
        **Markdown.BLOCKS,
        "paragraph_open": _GrowingParagraph,
        "table_open": _PlainTable,
    }

    def __init__(self, text: str | None = None, **kwargs: Any) -> None:
        super().__init__(text, parser_factory=make_parser, open_links=False, **kwargs)

    def append(self, markdown: str) -> AwaitComplete:
        """Add a piece. Where it only continues the last paragraph, no widget is made for it: the pieces of an
        answer come many times a second, and widgets thrown away keep the garbage collector busy.
        """
        last = self.children[-1] if self.children else None
        source = self.source + markdown
        if isinstance(last, _GrowingParagraph):
            tail = "".join(source.splitlines(keepends=True)[self._last_parsed_line :])
            tokens = make_parser().parse(tail)
            if [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]:
                self._markdown = source
                last.build_from_token(tokens[1])
                return AwaitComplete()
        return super().append(markdown)

    @property
    def has_table(self) -> bool:
        """Whether a table is shown."""
        return any(isinstance(child, _PlainTable) for child in self.children)

    def on_markdown_link_clicked(self, event: Markdown.LinkClicked) -> None:
        """Copy the address, so the person can look at it before going there."""
        event.stop()
        self.app.copy_to_clipboard(event.href)
        self.app.notify(Content(f"Link copied: {event.href}").plain, markup=False)
