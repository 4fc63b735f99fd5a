"""Tables 3 and 4 and figure 6, whose arms are not defined yet: their pages say so."""

from __future__ import annotations

from collections.abc import Callable

from dstformer_jax.reproduce import published
from dstformer_jax.reproduce.arms import Scale
from dstformer_jax.reproduce.report import Published, Study


def _page(title: str, needs: str, numbers: Published | None) -> Callable[[Scale, int], Study]:
    def study(scale: Scale, seeds: int) -> Study:
        del scale, seeds
        return Study(title, (), {}, f"Not run: {needs}", numbers)

    return study


STUDIES = {
    "table3": _page(
        "Table 3: mesh recovery and refinement",
        "the grid has no arms of the mesh task.",
        published.MESH,
    ),
    "table4": _page(
        "Table 4: action recognition, one-shot, frozen backbones",
        "the grid has no arms of the action and one-shot tasks.",
        published.ACTION,
    ),
    "figure6": _page(
        "Figure 6: cosine distances of one-shot embeddings",
        "the grid has no arms of the one-shot task.",
        None,
    ),
}
