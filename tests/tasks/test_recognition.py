"""Losses and scores of recognition against golden arrays, torch and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dstformer_jax.tasks import losses, metrics


@pytest.fixture(scope="module")
def arrays(golden):
    return golden("f_supcon")


@pytest.mark.parametrize("temperature", [0.1, 0.07])
def test_contrastive_loss_and_gradient_are_the_official(arrays, temperature):
    features, labels = arrays["feat_v1"][:, 0], arrays["lab_v1"]

    def loss(features):
        return losses.supervised_contrastive(features, labels, temperature)

    value, gradient = jax.value_and_grad(loss)(features)
    prefix = f"t{temperature}"
    np.testing.assert_allclose(value, arrays[f"{prefix}/v1"], rtol=2e-6)
    np.testing.assert_allclose(gradient, arrays[f"{prefix}/v1_grad"][:, 0], atol=2e-6)
    views, owners = arrays["feat_v2"], arrays["lab_v2"]
    got = losses.supervised_contrastive(views, owners, temperature)
    np.testing.assert_allclose(got, arrays[f"{prefix}/v2"], rtol=2e-6)
    got = losses.supervised_contrastive(views, None, temperature)
    np.testing.assert_allclose(got, arrays[f"{prefix}/v2_simclr"], rtol=2e-6)


def test_the_papers_loss_has_no_extra_factor(arrays):
    features, labels = arrays["feat_v1"][:, 0], arrays["lab_v1"]
    official = losses.supervised_contrastive(features, labels, 0.1)
    plain = losses.supervised_contrastive(features, labels, 0.1, base_temperature=0.1)
    np.testing.assert_allclose(official, plain * 0.1 / 0.07, rtol=1e-6)


@pytest.mark.parametrize("labels", ["lab_uneq", "lab_singletons"])
def test_an_anchor_without_a_positive_contributes_nothing(arrays, labels):
    """The mean over the other anchors, by loops; the official code answers NaN."""
    features, labels = arrays["feat_v1"][:, 0].astype(np.float64), arrays[labels]
    logits, terms = features @ features.T / 0.1, []
    for anchor in range(8):
        others = np.delete(np.arange(8), anchor)
        total = np.log(np.exp(logits[anchor, others]).sum())
        mates = [other for other in others if labels[other] == labels[anchor]]
        if mates:
            terms.append(np.mean([total - logits[anchor, mate] for mate in mates]))
    got = losses.supervised_contrastive(features.astype(np.float32), labels, 0.1)
    np.testing.assert_allclose(got, np.mean(terms) * 0.1 / 0.07, rtol=1e-5)


def test_contrastive_gradients_are_finite_without_any_positive():
    for rows in (1, 3):
        features = jnp.eye(3)[:rows]
        value, gradient = jax.value_and_grad(losses.supervised_contrastive)(
            features, jnp.arange(rows)
        )
        assert value == 0
        np.testing.assert_array_equal(gradient, 0)


def test_cross_entropy_is_torchs():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(6, 5)).astype(np.float32) * 3, rng.integers(0, 5, 6)
    want = torch.nn.functional.cross_entropy(torch.tensor(logits), torch.tensor(labels))
    np.testing.assert_allclose(losses.cross_entropy(logits, labels), want.item(), rtol=1e-6)


def test_top_k_counts_the_true_class_among_the_best():
    scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2], [1.0, 1.0, 1.0]])
    labels = np.array([2, 0, 1])
    assert metrics.top_k(scores, labels, 1).tolist() == [False, True, False]
    assert metrics.top_k(scores, labels, 2).tolist() == [True, True, False]
    assert metrics.top_k(scores, labels, 3).all()
    np.testing.assert_array_equal(
        metrics.top_k(jnp.asarray(scores), jnp.asarray(labels), 2), [True, True, False]
    )


def test_nearest_exemplar_is_the_official(arrays):
    got = metrics.nearest_exemplar(arrays["nn_test"], arrays["nn_train"], arrays["nn_train_labels"])
    np.testing.assert_array_equal(got, arrays["nn_pred"])
    longer = metrics.nearest_exemplar(
        arrays["nn_test"] * 7, arrays["nn_train"] * 0.1, arrays["nn_train_labels"]
    )
    np.testing.assert_array_equal(longer, got)
    with pytest.raises(ValueError, match="got 5 exemplars and 4 labels"):
        metrics.nearest_exemplar(arrays["nn_test"], arrays["nn_train"], np.arange(4))


def test_confusion_matrix_has_truth_in_rows():
    matrix = metrics.confusion_matrix(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0]), 3)
    np.testing.assert_array_equal(matrix, [[1, 1, 0], [0, 1, 0], [1, 0, 0]])


@pytest.mark.parametrize(("correct", "total"), [(0, 10), (10, 10), (7, 20), (160, 210)])
def test_wilson_interval_solves_its_equation(correct, total):
    """Both ends p satisfy (share - p)^2 = z^2 p (1 - p) / total, the score test's boundary."""
    for end in metrics.wilson_interval(correct, total):
        left = (correct / total - end) ** 2
        np.testing.assert_allclose(left, 1.96**2 * end * (1 - end) / total, atol=1e-12)
    low, high = metrics.wilson_interval(correct, total)
    assert -1e-12 <= low <= correct / total <= high <= 1 + 1e-12
    assert metrics.wilson_interval(0, 0) == (0.0, 1.0)
