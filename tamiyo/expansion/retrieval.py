"""Finds the passages that fit a winner and its target, by BM25 and TF-IDF together; has no embeddings.

BM25 (Robertson and Zaragoza 2009) weighs whole words; TF-IDF here weighs pieces of three to five letters, so
that `gated` finds `gate`. Their rankings are joined by reciprocal rank fusion (Cormack et al. 2009), which
needs no common scale. Equal questions have equal answers, ties in the order of the passages.
"""

import importlib
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType, ModuleType
from typing import Any, Literal

import numpy as np

from blueprints.errors import TamiyoError
from blueprints.language import LANGUAGE
from tamiyo.expansion.knowledge import Passage, card_passage, cards
from tamiyo.expansion.records import TargetName

Method = Literal["bm25", "tfidf", "both"]

#: Constant of reciprocal rank fusion, as in Cormack et al. 2009.
RANK_CONSTANT = 60
#: Passages of each ranking that take part in the fusion.
DEPTH = 50
#: Characters of a question that are looked at.
MAX_QUERY = 8_000
#: Characters that all found passages have together at most.
MAX_TOTAL = 9_600

#: What each target is about, in the words in which papers speak of it.
TARGET_WORDS: Mapping[TargetName, str] = MappingProxyType(
    {
        "char_lm": "language model of characters, predicts the next symbol of text, causal",
        "sequence_classifier": "classifier of whole sequences, one label from all steps",
        "tabular": "table of numerical columns, one label from a row",
    }
)
#: What blocks of the language are called in papers; ops have their own words in the op table.
_BLOCK_WORDS = {
    "RES_START": "residual connection",
    "GATE_START": "gate, sigmoid, squeeze and excitation",
    "LOOP_START": "weight sharing, the same layer again",
    "SCAN_START": "recurrent cell with a state",
    "MERGE_MUL": "gated product, GLU",
    "MERGE_BLEND": "highway gate",
    "MERGE_CONCAT": "concatenation",
}
_STOPPED = frozenset(
    "a about all an and are as at be before but by can do does each first for from has have how i in into is "
    "it its more my of on one or other so than that the their them then there this to what when where which "
    "while who why with without".split()
)


class RetrievalError(TamiyoError):
    """Retrieval that cannot be had: an extra is missing, or nothing is there to be searched."""


class Index:
    """Ranks passages for questions.

    Attributes:
        passages: what is searched, in the order given.
    """

    def __init__(self, passages: Sequence[Passage]) -> None:
        if not passages:
            raise RetrievalError("nothing to search; give at least one passage, as those of `cards()`")
        self.passages = tuple(passages)
        texts = [passage.text for passage in self.passages]
        self._bm25: Any = _extra("bm25s").BM25(method="lucene", k1=1.5, b=0.75)
        self._bm25.index([words(text) or ["-"] for text in texts], show_progress=False)
        vectorizer = _extra("sklearn.feature_extraction.text").TfidfVectorizer
        self._tfidf: Any = vectorizer(analyzer=_pieces, sublinear_tf=True)
        self._vectors = self._tfidf.fit_transform(texts)

    def search(
        self, query: str, num: int, *, target: TargetName | None = None, method: Method = "both"
    ) -> tuple[Passage, ...]:
        """Return at most `num` passages that share a word, or a piece of one, with `query`, the best first.

        Args:
            query: what is looked for; its first 8,000 characters count.
            num: how many at most.
            target: passages that concern other targets alone are left out.
            method: which ranking; `both` joins them.
        """
        query = query[:MAX_QUERY]
        scores = [self._scores(query, one) for one in (("bm25", "tfidf") if method == "both" else (method,))]
        fits = np.array([target is None or not p.targets or target in p.targets for p in self.passages])
        total = np.zeros(len(self.passages))
        for score in scores:
            ranked = [i for i in np.argsort(-score, kind="stable") if score[i] > 0 and fits[i]][:DEPTH]
            total[ranked] += 1 / (RANK_CONSTANT + 1 + np.arange(len(ranked)))
        best = [i for i in np.argsort(-total, kind="stable")[:num] if total[i] > 0]
        return tuple(self.passages[i] for i in best)

    def _scores(self, query: str, method: Method) -> np.ndarray:
        if method == "tfidf":
            score = (self._vectors @ self._tfidf.transform([query]).T).toarray()[:, 0]
        else:
            known = [word for word in words(query) if word in self._bm25.vocab_dict]
            score = self._bm25.get_scores(known) if known else np.zeros(len(self.passages))
        return np.round(np.asarray(score, dtype=np.float64), 6)


def retrieve(
    tokens: Sequence[str],
    target: TargetName,
    *,
    notes: Sequence[Passage] = (),
    entries: Sequence[Passage] = (),
    remarks: str = "",
    num: int = 6,
    method: Method = "both",
) -> tuple[str, ...]:
    """Return what a designer is told of a winner: the `num` passages that fit best, then its neighbours.

    Together they have at most 9,600 characters; what does not fit in whole is left out.

    Args:
        tokens: the winner's program.
        target: what the architecture is for.
        notes: a user's own passages, which are searched beside the cards.
        entries: its neighbours in the library, the likest first, which are not searched: likeness of graphs
            tells more than words.
        remarks: what else is known or asked, in words.
        num: passages from cards and notes at most.
        method: which ranking.

    Raises:
        RetrievalError: the extra `expand` is not installed.
    """
    passages = (*map(card_passage, cards()), *notes)
    found = Index(passages).search(question(tokens, target, remarks), num, target=target, method=method)
    texts: list[str] = []
    for passage in (*found, *entries):
        if sum(map(len, texts)) + len(passage.text) <= MAX_TOTAL:
            texts.append(passage.text)
    return tuple(texts)


def question(tokens: Sequence[str], target: TargetName, remarks: str = "") -> str:
    """Return in words what a winner is made of and for: summaries of its ops, names of its blocks."""
    summaries = {op.name: op.summary for op in LANGUAGE.ops}
    once = dict.fromkeys(tokens)
    parts = [TARGET_WORDS[target], remarks, " ".join(once)]
    parts += [summaries.get(token) or _BLOCK_WORDS.get(token, "") for token in once]
    return "\n".join(part for part in parts if part)


def words(text: str) -> list[str]:
    """Return the words of a text in small letters, without endings of plurals and without the commonest."""
    found = re.findall(r"[a-z0-9]+", text.lower())
    return [_singular(word) for word in found if word not in _STOPPED]


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _pieces(text: str) -> list[str]:
    """Return the pieces of three to five letters of each word, its bounds marked."""
    marked = [f" {word} " for word in words(text)]
    return [word[i : i + n] for word in marked for n in (3, 4, 5) for i in range(len(word) - n + 1)]


def _extra(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise RetrievalError(f"retrieval needs {error.name}: pip install 'tamiyo[expand]'") from error
