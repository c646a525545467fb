"""WordIndex: which statements of an open memory share words with a text, ranked by BM25; in RAM alone, so that nothing
of what is forgotten stays on the disk."""

from __future__ import annotations

import re
import sqlite3

from varda_chat.storage.sqlite import transaction

MOST_WORDS = 48
"""Different words of a text, at most, that are looked for: the last ones, since what is asked stands at the end."""

_ENGLISH = """
a an the this that these those here there i me my mine myself we us our ours you your yours yourself he him his she her
hers it its they them their theirs what which who whom whose when where why how and or but nor if then than so because
as while of at by for with about into to from up in out on off over under again is am are was were be been being do
does did doing done have has had having will would can could shall should may might must not no yes just too very also
only own same such some any all both each few more most other please s t d m re ve ll don didn doesn isn aren wasn
weren won wouldn couldn shouldn haven hasn hadn
"""
FUNCTION_WORDS = frozenset(_ENGLISH.split())
"""English words that say little of what a sentence is about. In a small memory they are as rare as the others."""

_WORD = re.compile(r"[^\W_]+")
_TABLE = (
    # a porter stem for each word: "dogs" finds "dog"
    "CREATE VIRTUAL TABLE temp.statement_words USING fts5 (text, tokenize = 'porter unicode61 remove_diacritics 2')",
    "INSERT INTO temp.statement_words (rowid, text) SELECT id, text FROM main.statements",
    # of this connection alone, and a part of its transactions
    """CREATE TEMP TRIGGER words_of_new AFTER INSERT ON main.statements BEGIN
        INSERT INTO statement_words (rowid, text) VALUES (new.id, new.text);
    END""",
    """CREATE TEMP TRIGGER words_of_deleted AFTER DELETE ON main.statements BEGIN
        DELETE FROM statement_words WHERE rowid = old.id;
    END""",
    """CREATE TEMP TRIGGER words_of_edited AFTER UPDATE OF text ON main.statements BEGIN
        UPDATE statement_words SET text = new.text WHERE rowid = new.id;
    END""",
)
_BEST = (
    "SELECT s.id, -bm25(statement_words) AS score FROM temp.statement_words "
    "JOIN main.statements s ON s.id = statement_words.rowid "
    "WHERE statement_words MATCH ? AND s.fingerprint = ? ORDER BY score DESC, s.id DESC LIMIT ?"
)


class WordIndex:
    """The words of all statements of ``db``, an open memory.db. They are read at the first search, and follow what this
    connection changes. For who holds the lock of the memory."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._is_built = False

    def search(self, text: str, k: int, fingerprint: str) -> dict[int, float]:
        """The ``k`` statements with vectors of the model ``fingerprint`` that share the most telling words with
        ``text``, the best first, and the BM25 score of each (more is better); those that share none are left out.
        Raises sqlite3.Error."""
        words = words_of(text)
        if not words:
            return {}
        self._build()
        wanted = " OR ".join(f'"{word}"' for word in words)
        return dict(self._db.execute(_BEST, (wanted, fingerprint, k)))

    def _build(self) -> None:
        if self._is_built:
            return
        self._db.execute("PRAGMA temp_store = MEMORY")
        with transaction(self._db):
            for statement in _TABLE:
                self._db.execute(statement)
        self._is_built = True


def words_of(text: str) -> list[str]:
    """The different words of ``text`` that are looked for, in lower case."""
    words = dict.fromkeys(word for word in _WORD.findall(text.lower()) if word not in FUNCTION_WORDS)
    return list(words)[-MOST_WORDS:]


def share_words(one: str, other: str) -> bool:
    """Whether two texts share a word that is looked for, whatever its ending."""
    others = words_of(other)
    return any(_alike(word, each) for word in words_of(one) for each in others)


def _alike(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    return one == other or (len(short) >= 4 and len(long) - len(short) <= 3 and long.startswith(short[:-1]))
