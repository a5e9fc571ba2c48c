"""Threads share one catalogue while another process writes: each answer is of one moment, and none fails."""

import threading
from concurrent.futures import ThreadPoolExecutor

import writers

from hall_of_fame.catalogue import Catalogue, CatalogueQuery
from hall_of_fame.kinship import lineages, neighbours
from hall_of_fame.overviews import front, heat
from hall_of_fame.store import Store

THREADS, GENERATIONS = 6, 12


def test_threads_that_share_a_catalogue_read_whole_moments_while_a_process_writes(library_url: str) -> None:
    Store.open(library_url, create=True).close()
    with writers.Writers() as crew, Store.open(library_url) as store:
        ended = threading.Event()
        with ThreadPoolExecutor(THREADS) as pool:
            readers = [pool.submit(read_until, ended, store) for _ in range(THREADS)]
            crew.start(library_url, "run", generations=GENERATIONS, rest=0.05)
            heard = list(crew.hear_until_ended())
            ended.set()
            moments = {num for reader in readers for num in reader.result()}
        assert heard[-1]["status"] == 0
        assert len(moments) > 1, "no reader saw the library grow"
        assert max(moments) <= Catalogue(store).facets().num == store.counts().blueprints


def read_until(ended: threading.Event, store: Store) -> set[int]:
    """Ask for one thing after the other; return how many blueprints there were each time."""
    catalogue, moments = Catalogue(store), set[int]()
    last = 0
    while not ended.is_set():
        facets = catalogue.facets()
        assert facets.num == sum(facets.family.values()) == sum(facets.run.values()) >= last
        last = facets.num
        page = catalogue.page(CatalogueQuery(limit=200, sort="score"))
        assert [row.score for row in page.rows] == sorted((row.score for row in page.rows), reverse=True)
        assert page.total == page.at_least >= last
        assert len(page.rows) == min(200, page.total or 0)
        for row in page.rows[:1]:
            assert row.blueprint_id in lineages(store, row.blueprint_id).rows
            assert neighbours(store, row.blueprint_id).num_compared >= 0
        assert front(store).num >= last
        assert len(heat(store, 10).rows) >= min(10, last)
        moments.add(last)
    return moments
