import jax
import numpy as np
import pytest

from dstformer_jax.data.plan import Plan, stream
from dstformer_jax.data.sources import Source


def make(order="shuffled", epochs=5, seed=0):
    sources = (
        Source("mocap", "a", batch=16),
        Source("posetrack", "b", batch=8, supervision="2d", input="motion", epochs=(2, -1)),
        Source("instavariety", "c", batch=8, supervision="2d", input="motion", epochs=(2, 4)),
        Source("h36m", "d", batch=16),
    )
    return Plan(sources, (100, 30, 17, 33), epochs, seed, order)


def test_every_full_batch_of_every_active_source_once_an_epoch():
    plan = make()
    assert plan.batches == (6, 3, 2, 2)
    assert [plan.steps_in_epoch(e) for e in range(5)] == [8, 8, 13, 13, 11]
    assert plan.total_steps == 53
    draws = [plan.step(step) for step in range(plan.total_steps)]
    for epoch in range(5):
        ours = [d for d in draws if d.epoch == epoch]
        counts = np.bincount([d.source for d in ours], minlength=4)
        active = [1, epoch >= 2, 2 <= epoch < 4, 1]
        np.testing.assert_array_equal(counts, np.array(plan.batches) * active)
        for source in range(4):
            positions = [d.position for d in ours if d.source == source]
            assert positions == list(range(len(positions)))
    for source in range(4):
        numbers = [d.draw for d in draws if d.source == source]
        assert numbers == list(range(len(numbers)))


def test_first_draws_counts_what_came_before():
    plan = make()
    seen = np.zeros(4, int)
    for step in range(plan.total_steps):
        assert plan.first_draws(step) == tuple(seen)
        draw = plan.step(step)
        assert draw.draw == seen[draw.source]
        seen[draw.source] += 1
    assert plan.first_draws(plan.total_steps) == tuple(seen)


def test_steps_may_be_asked_in_any_order():
    forward = [make().step(step) for step in range(53)]
    plan = make()
    for step in np.random.default_rng(0).permutation(53):
        assert plan.step(int(step)) == forward[step]


def test_a_pass_takes_every_window_at_most_once_and_differs_from_the_next():
    plan = make()
    first = np.concatenate([plan.windows(0, draw) for draw in range(6)])
    second = np.concatenate([plan.windows(0, draw) for draw in range(6, 12)])
    for windows in (first, second):
        assert len(set(windows)) == 96
        assert windows.min() >= 0
        assert windows.max() < 100
    assert (first != second).any()
    assert not np.array_equal(first, np.sort(first))


def test_sequential_order_is_the_official_one():
    plan = make("sequential")
    order = [plan.step(step).source for step in range(16, 29)]
    assert order[:5] == [1, 1, 1, 2, 2]
    assert sorted(order[5:]) == [0] * 6 + [3] * 2
    shuffled = [make().step(step).source for step in range(16, 29)]
    assert sorted(shuffled) == sorted(order)
    assert shuffled[:5] != order[:5]


def test_named_sources_are_passed_over_in_the_order_of_their_names():
    plan = make("instavariety,posetrack")
    order = [plan.step(step).source for step in range(16, 29)]
    assert order[:5] == [2, 2, 1, 1, 1]
    assert sorted(order[5:]) == [0] * 6 + [3] * 2
    assert {plan.step(step).source for step in range(16)} == {0, 3}
    late = [plan.step(step).source for step in range(42, 53)]  # without instavariety
    assert late[:3] == [1, 1, 1]
    mocap_first = [make("mocap").step(step).source for step in range(16, 29)]
    assert mocap_first[:6] == [0] * 6
    assert sorted(mocap_first[6:]) == [1] * 3 + [2] * 2 + [3] * 2


def test_seed_changes_order_windows_and_keys():
    one, other = make(seed=1), make(seed=2)
    assert [one.step(s).source for s in range(53)] != [other.step(s).source for s in range(53)]
    assert (one.windows(0, 0) != other.windows(0, 0)).any()
    assert (one.keys(0, 0) != other.keys(0, 0)).any()


def test_keys_are_distinct_and_share_all_but_the_shard():
    plan = make()
    keys = np.stack([plan.keys(source, draw) for source in range(4) for draw in range(500)])
    assert keys.shape == (2000, 8, 2)
    assert keys.dtype == np.uint32
    assert len(np.unique(keys.reshape(-1, 2), axis=0)) == 16000
    np.testing.assert_array_equal(keys[..., 1] % 8, np.tile(np.arange(8), (2000, 1)))
    assert (keys[..., 0] == keys[:, :1, 0]).all()
    assert (keys[..., 1] // 8 == keys[:, :1, 1] // 8).all()


def test_streams_do_not_overlap():
    words = [stream(7, p, a, b).random_raw(64) for p in range(3) for a in range(3) for b in (0, 1)]
    assert len(np.unique(words)) == 18 * 64


def test_decay_follows_the_epochs_when_sources_join():
    plan = make()
    schedule = jax.jit(plan.schedule(5e-4, 0.99))
    for step in range(plan.total_steps + 3):
        epoch = [0] * 8 + [1] * 8 + [2] * 13 + [3] * 13 + [4] * 14
        assert plan.epoch_of(step) == epoch[step]
        assert plan.lr_scale(step, 0.99) == 0.99 ** epoch[step]
        np.testing.assert_allclose(schedule(step), 5e-4 * 0.99 ** epoch[step], rtol=1e-6)


def test_plan_refuses():
    source = Source("a", "b", batch=16)
    with pytest.raises(ValueError, match="got 15 clips in source 'a'"):
        Plan((source,), (15,), 1)
    with pytest.raises(ValueError, match=r"epochs \[0, 1\] without"):
        Plan((Source("a", "b", epochs=(2, -1)),), (64,), 4)
    for order in ("random", "a,a", "a,b", ""):
        with pytest.raises(ValueError, match=f"data.order='{order}', expected one of"):
            Plan((source,), (16,), 1, order=order)
    with pytest.raises(ValueError, match="one count for each"):
        Plan((source,), (16, 16), 1)
    with pytest.raises(ValueError, match=r"0 <= step < 2"):
        Plan((source,), (16,), 2).step(2)
