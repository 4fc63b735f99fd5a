"""What joints are: names, parents, mirror partners, and how one joint set becomes another.

Every skeleton uses one vocabulary, so a name means the same place of the body everywhere
(`root` is the middle of the hips, `neck` the base of the neck, `head` the top of the head), and
conversion is a set of rules on names. The few skeletons whose own words mean other places are
listed in `_EXCEPTIONS`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_EXTRAPOLATION = re.compile(rf"(.+?)\+({_NUMBER})\*\((.+)-(.+)\)")


def parse_expression(expression: str) -> dict[str, float]:
    """Reads a joint expression as weights by joint name that sum to 1.

    Forms: `NAME`, `mean(A,B,...)` and `A+1.8*(B-A)`.
    """
    text = expression.strip()
    if text.startswith("mean(") and text.endswith(")"):
        names = [name.strip() for name in text[5:-1].split(",")]
        terms = [(name, 1.0 / len(names)) for name in names]
    elif match := _EXTRAPOLATION.fullmatch(text):
        start, factor, head, tail = match.groups()
        terms = [(start, 1.0), (head, float(factor)), (tail, -float(factor))]
    else:
        terms = [(text, 1.0)]
    weights: dict[str, float] = {}
    for name, weight in terms:
        if not name.strip():
            raise ValueError(
                f"got joint expression {expression!r}, expected NAME, mean(A,B) or A+1.8*(B-A)"
            )
        weights[name.strip()] = weights.get(name.strip(), 0.0) + weight
    return weights


@dataclass(frozen=True)
class Skeleton:
    """A set of joints: `names` in order, and the index of each one's parent (-1 for the first)."""

    name: str
    names: tuple[str, ...]
    parents: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.parents) != len(self.names) or len(set(self.names)) != len(self.names):
            raise ValueError(
                f"got {len(self.names)} names ({len(set(self.names))} different) and "
                f"{len(self.parents)} parents for {self.name}, expected one parent for each name"
            )

    @property
    def num_joints(self) -> int:
        """Number of joints J."""
        return len(self.names)

    def index(self, name: str) -> int:
        """Index of the joint called `name`."""
        if name not in self.names:
            raise ValueError(f"got joint {name!r}, expected one of {', '.join(self.names)}")
        return self.names.index(name)

    @cached_property
    def sides(self) -> tuple[str, ...]:
        """`left`, `right` or `middle` for each joint."""
        return tuple(
            side if (side := name.split("_")[0]) in ("left", "right") else "middle"
            for name in self.names
        )

    @cached_property
    def mirror(self) -> np.ndarray:
        """int32 [J]: the joint that takes each joint's place when left and right are swapped."""
        order = np.array([self.index(_other_side(name)) for name in self.names], np.int32)
        order.flags.writeable = False
        return order

    @cached_property
    def limbs(self) -> tuple[tuple[int, int], ...]:
        """(parent, child) pairs, ordered by child."""
        return tuple((parent, child) for child, parent in enumerate(self.parents) if parent >= 0)

    def convert(
        self,
        points: np.ndarray,
        confidence: np.ndarray | None,
        to: "Skeleton",
        interpolate: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Converts joints to another skeleton by the rules of reference 3.7 and their kin.

        Args:
          points: `[..., J, C]` positions in any unit.
          confidence: `[..., J]`, or None for all ones.
          to: the skeleton wanted.
          interpolate: fill InstaVariety's missing belly and head from their neighbours, as the
            paper says; False leaves them zero with confidence 0, as the official code does.

        Returns:
          points `[..., J', C]` and confidence `[..., J']`. A joint made of several takes the
          lowest of their confidences (the Halpe belly: their mean, as the official code does). A
          joint this skeleton cannot tell is zero with confidence 0.
        """
        points = np.asarray(points)
        if points.ndim < 2 or points.shape[-2] != self.num_joints:
            raise ValueError(
                f"got points of shape {points.shape}, expected [..., {self.num_joints}, C] "
                f"for {self.name}"
            )
        if confidence is None:
            confidence = np.ones(points.shape[:-1], np.float32)
        confidence = np.asarray(confidence)
        if confidence.shape != points.shape[:-1]:
            raise ValueError(
                f"got confidence of shape {confidence.shape}, expected {points.shape[:-1]}"
            )
        return _combine(points, confidence, _rules(self, to, interpolate))


@dataclass(frozen=True)
class _Rule:
    """A target joint as a weighted sum of source joints, and how their confidences combine."""

    joints: tuple[int, ...]
    weights: tuple[float, ...]
    average: bool  # mean of the confidences instead of the lowest


def _combine(
    points: np.ndarray, confidence: np.ndarray, rules: tuple[_Rule, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Applies one rule for each target joint; a joint that no rule names cannot disturb others."""
    shape = points.shape[:-2]
    kind = points.dtype if points.dtype.kind == "f" else np.dtype(np.float32)
    out = np.zeros((*shape, len(rules), points.shape[-1]), kind)
    score = np.zeros((*shape, len(rules)), confidence.dtype)
    for target, rule in enumerate(rules):
        for joint, weight in zip(rule.joints, rule.weights, strict=True):
            out[..., target, :] += kind.type(weight) * points[..., joint, :]
        if rule.joints:
            sources = confidence[..., list(rule.joints)]
            score[..., target] = sources.mean(-1) if rule.average else sources.min(-1)
    return out, score


def _other_side(name: str) -> str:
    """The name of the joint on the other side of the body."""
    if name.startswith("left_"):
        return "right_" + name[5:]
    return "left_" + name[6:] if name.startswith("right_") else name


# Joints that a skeleton lacks, from those it has (reference 3.7 for COCO and PoseTrack).
_RULES: dict[str, str] = {
    "root": "mean(left_hip,right_hip)",
    "neck": "mean(left_shoulder,right_shoulder)",
    "belly": "mean(root,neck)",
    "head": "mean(left_eye,right_eye)",
}

# Skeletons whose words mean other places of the body, or that need a rule of their own.
_EXCEPTIONS: dict[str, dict[str, str]] = {
    # Interpolated "as the paper says" (appendix A.1); in Human3.6M the nose lies half way between
    # the neck and the top of the head.
    "instavariety15": {"head": "neck+2*(nose-neck)"},
    # SMPL's head joint is the base of the skull; the factor reaches Human3.6M's head in proportion.
    # Approximate: with the body's vertices, use its Human3.6M regressor instead.
    "smpl24": {
        "root": "pelvis",
        "belly": "spine2",
        "nose": "head",
        "head": "neck+2.5*(head-neck)",
    },
    # Kinect v2 (approximate): its neck is the throat and its spine shoulder the base of the neck.
    "ntu25": {
        "root": "spine_base",
        "belly": "spine_mid",
        "neck": "spine_shoulder",
        "nose": "neck",
    },
}

# The official Halpe conversion averages all channels of the belly, confidence included.
_AVERAGED_CONFIDENCE: dict[str, frozenset[str]] = {"halpe26": frozenset({"belly"})}
# Left at zero by the official code (reference 3.6).
_OFFICIAL_ZEROS: dict[str, frozenset[str]] = {"instavariety15": frozenset({"belly", "head"})}


@lru_cache(maxsize=64)
def _rules(source: Skeleton, to: Skeleton, interpolate: bool) -> tuple[_Rule, ...]:
    """One rule for each joint of `to`; raises if `source` can tell none of them."""
    zeros = frozenset() if interpolate else _OFFICIAL_ZEROS.get(source.name, frozenset())
    averaged = _AVERAGED_CONFIDENCE.get(source.name, frozenset())
    rules = []
    for name in to.names:
        weights = {} if name in zeros else _weights(source, to, name)
        joints = tuple(source.index(key) for key in weights)
        rules.append(_Rule(joints, tuple(weights.values()), name in averaged))
    if not any(rule.joints for rule in rules):
        raise ValueError(f"got skeleton {source.name}, which shares no joint with {to.name}")
    return tuple(rules)


def _weights(source: Skeleton, to: Skeleton, name: str) -> Mapping[str, float]:
    """Weights over source joints for one target joint; empty when the source cannot tell it."""
    if source == to:
        return {name: 1.0}
    # Exceptions are written in the source's own words and lead to the common vocabulary.
    if name in _EXCEPTIONS.get(source.name, {}):
        return parse_expression(_EXCEPTIONS[source.name][name])
    if name in source.names:
        return {name: 1.0}
    if name not in _RULES:
        return {}
    total: dict[str, float] = {}
    for part, weight in parse_expression(_RULES[name]).items():
        below = _weights(source, to, part)
        if not below:
            return {}
        for key, value in below.items():
            total[key] = total.get(key, 0.0) + weight * value
    return total


def _skeleton(name: str, text: str) -> Skeleton:
    """Builds a skeleton from words `joint<parent`, in order; `l_` and `r_` are spelled out."""
    words = re.sub(r"\br_", "right_", re.sub(r"\bl_", "left_", text)).split()
    names, above = zip(*(word.partition("<")[::2] for word in words), strict=True)
    return Skeleton(name, names, tuple(names.index(joint) if joint else -1 for joint in above))


H36M17 = _skeleton(
    "h36m17",
    """
    root r_hip<root r_knee<r_hip r_ankle<r_knee l_hip<root l_knee<l_hip l_ankle<l_knee
    belly<root neck<belly nose<neck head<nose l_shoulder<neck l_elbow<l_shoulder l_wrist<l_elbow
    r_shoulder<neck r_elbow<r_shoulder r_wrist<r_elbow
    """,
)

COCO17 = _skeleton(
    "coco17",
    """
    nose l_eye<nose r_eye<nose l_ear<l_eye r_ear<r_eye l_shoulder<nose r_shoulder<nose
    l_elbow<l_shoulder r_elbow<r_shoulder l_wrist<l_elbow r_wrist<r_elbow l_hip<l_shoulder
    r_hip<r_shoulder l_knee<l_hip r_knee<r_hip l_ankle<l_knee r_ankle<r_knee
    """,
)

COCO18 = _skeleton(
    "coco18",
    """
    nose<neck neck r_shoulder<neck r_elbow<r_shoulder r_wrist<r_elbow l_shoulder<neck
    l_elbow<l_shoulder l_wrist<l_elbow r_hip<neck r_knee<r_hip r_ankle<r_knee l_hip<neck
    l_knee<l_hip l_ankle<l_knee r_eye<nose l_eye<nose r_ear<r_eye l_ear<l_eye
    """,
)

HALPE26 = _skeleton(
    "halpe26",
    """
    nose<neck l_eye<nose r_eye<nose l_ear<l_eye r_ear<r_eye l_shoulder<neck r_shoulder<neck
    l_elbow<l_shoulder r_elbow<r_shoulder l_wrist<l_elbow r_wrist<r_elbow l_hip<root r_hip<root
    l_knee<l_hip r_knee<r_hip l_ankle<l_knee r_ankle<r_knee head<nose neck<root root
    l_big_toe<l_ankle r_big_toe<r_ankle l_small_toe<l_ankle r_small_toe<r_ankle l_heel<l_ankle
    r_heel<r_ankle
    """,
)

BODY25 = _skeleton(
    "body25",
    """
    nose<neck neck<root r_shoulder<neck r_elbow<r_shoulder r_wrist<r_elbow l_shoulder<neck
    l_elbow<l_shoulder l_wrist<l_elbow root r_hip<root r_knee<r_hip r_ankle<r_knee l_hip<root
    l_knee<l_hip l_ankle<l_knee r_eye<nose l_eye<nose r_ear<r_eye l_ear<l_eye l_big_toe<l_ankle
    l_small_toe<l_ankle l_heel<l_ankle r_big_toe<r_ankle r_small_toe<r_ankle r_heel<r_ankle
    """,
)

# The head bottom of PoseTrack is our neck, its head top our head.
POSETRACK17 = _skeleton(
    "posetrack17",
    """
    nose<neck neck head<nose l_ear<nose r_ear<nose l_shoulder<neck r_shoulder<neck
    l_elbow<l_shoulder r_elbow<r_shoulder l_wrist<l_elbow r_wrist<r_elbow l_hip<l_shoulder
    r_hip<r_shoulder l_knee<l_hip r_knee<r_hip l_ankle<l_knee r_ankle<r_knee
    """,
)

# The joints that InstaVariety has; its own words for them are INSTAVARIETY_KEYS.
INSTAVARIETY15 = _skeleton(
    "instavariety15",
    """
    root r_hip<root r_knee<r_hip r_ankle<r_knee l_hip<root l_knee<l_hip l_ankle<l_knee neck<root
    nose<neck l_shoulder<neck l_elbow<l_shoulder l_wrist<l_elbow r_shoulder<neck
    r_elbow<r_shoulder r_wrist<r_elbow
    """,
)
INSTAVARIETY_KEYS: tuple[str, ...] = tuple(
    name.replace("root", "hip").replace("_", " ").title().replace("Left", "L").replace("Right", "R")
    for name in INSTAVARIETY15.names
)

MEDIAPIPE33 = _skeleton(
    "mediapipe33",
    """
    nose l_eye_inner<nose l_eye<l_eye_inner l_eye_outer<l_eye r_eye_inner<nose r_eye<r_eye_inner
    r_eye_outer<r_eye l_ear<l_eye_outer r_ear<r_eye_outer l_mouth<nose r_mouth<nose
    l_shoulder<nose r_shoulder<nose l_elbow<l_shoulder r_elbow<r_shoulder l_wrist<l_elbow
    r_wrist<r_elbow l_pinky<l_wrist r_pinky<r_wrist l_index<l_wrist r_index<r_wrist
    l_thumb<l_wrist r_thumb<r_wrist l_hip<l_shoulder r_hip<r_shoulder l_knee<l_hip r_knee<r_hip
    l_ankle<l_knee r_ankle<r_knee l_heel<l_ankle r_heel<r_ankle l_foot_index<l_heel
    r_foot_index<r_heel
    """,
)

SMPL24 = _skeleton(
    "smpl24",
    """
    pelvis l_hip<pelvis r_hip<pelvis spine1<pelvis l_knee<l_hip r_knee<r_hip spine2<spine1
    l_ankle<l_knee r_ankle<r_knee spine3<spine2 l_foot<l_ankle r_foot<r_ankle neck<spine3
    l_collar<spine3 r_collar<spine3 head<neck l_shoulder<l_collar r_shoulder<r_collar
    l_elbow<l_shoulder r_elbow<r_shoulder l_wrist<l_elbow r_wrist<r_elbow l_hand<l_wrist
    r_hand<r_wrist
    """,
)

NTU25 = _skeleton(
    "ntu25",
    """
    spine_base spine_mid<spine_base neck<spine_shoulder head<neck l_shoulder<spine_shoulder
    l_elbow<l_shoulder l_wrist<l_elbow l_hand<l_wrist r_shoulder<spine_shoulder
    r_elbow<r_shoulder r_wrist<r_elbow r_hand<r_wrist l_hip<spine_base l_knee<l_hip
    l_ankle<l_knee l_foot<l_ankle r_hip<spine_base r_knee<r_hip r_ankle<r_knee r_foot<r_ankle
    spine_shoulder<spine_mid l_hand_tip<l_hand l_thumb<l_hand r_hand_tip<r_hand r_thumb<r_hand
    """,
)

_ALL = (H36M17, COCO17, COCO18, HALPE26, BODY25, POSETRACK17, INSTAVARIETY15)
_ALL += (MEDIAPIPE33, SMPL24, NTU25)
SKELETONS: dict[str, Skeleton] = {skeleton.name: skeleton for skeleton in _ALL}
