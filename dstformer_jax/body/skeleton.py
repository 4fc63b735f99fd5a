"""What joints are: names, parents, mirror partners, and how one joint set becomes another.

Every skeleton uses one vocabulary, so a name means the same place of the body everywhere
(`root` is the middle of the hips, `neck` the base of the neck, `head` the top of the head), and
conversion is a set of rules on names. The few skeletons whose own words mean other places are
listed in `conversion`. Skeletons of your own: `declared`.
"""

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dstformer_jax.body.conversion import combine, rules_between
from dstformer_jax.body.conversion import parse_expression as parse_expression  # for importers


@dataclass(frozen=True)
class Skeleton:
    """A set of joints: `names` in order, and the index of each one's parent (-1 for the first).

    rules: pairs (joint, expressions) that say what others lack and this one makes of their joints,
    such as `("left_hand_tip", ("left_hand_end",))`; the first that can be told is taken.
    optional: groups of joints that a detector may lack altogether, such as hands.
    """

    name: str
    names: tuple[str, ...]
    parents: tuple[int, ...]
    rules: tuple[tuple[str, tuple[str, ...]], ...] = ()
    optional: tuple[tuple[str, ...], ...] = ()

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
        order = np.array([self.index(other_side(name)) for name in self.names], np.int32)
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
        return combine(points, confidence, rules_between(self, to, interpolate))


def other_side(name: str) -> str:
    """The name of the joint on the other side of the body."""
    if name.startswith("left_"):
        return "right_" + name[5:]
    return "left_" + name[6:] if name.startswith("right_") else name


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
