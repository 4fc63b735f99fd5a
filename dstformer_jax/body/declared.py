"""Skeletons of your own: a small JSON file that says what the joints of a network are.

    {"name": "mine", "joints": {"root": null, "left_hip": "root", ...}, "rules": {...},
     "optional": [["left_hand_tip", "right_hand_tip"]]}

`joints` names the parent of each joint, root first and parents before children; left and right are
told by the names (`left_hip`, `right_hip`). `rules` say what a joint is made of where a detector or
a motion capture rig has no joint of that name: expressions (`conversion.parse_expression`), the
first of which can be told is taken. `optional` lists groups of joints that some detectors lack
altogether: where a source is masked, training hides each group in a quarter of the clips.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dstformer_jax.body.conversion import parse_expression
from dstformer_jax.body.skeleton import SKELETONS, Skeleton, other_side

MAX_BYTES = 2**18
KEYS = dict.fromkeys(("name", "joints", "rules", "optional", "note")).keys()
# What a network's joints must be among others, and the parents of some: size, gravity and floor of
# lifted people are found by them.
NEEDED: dict[str, str | None] = {
    "root": None,
    "neck": None,
    **{f"{side}_hip": None for side in ("left", "right")},
    **{f"{side}_knee": f"{side}_hip" for side in ("left", "right")},
    **{f"{side}_ankle": f"{side}_knee" for side in ("left", "right")},
    **{f"{side}_shoulder": None for side in ("left", "right")},
    **{f"{side}_elbow": f"{side}_shoulder" for side in ("left", "right")},
    **{f"{side}_wrist": f"{side}_elbow" for side in ("left", "right")},
}


def skeleton_of(given: str | Path | Mapping[str, Any]) -> Skeleton:
    """The skeleton of a network.

    Args:
      given: the name of a built-in skeleton, the path of a declaration (.json), or its content.

    Raises:
      ValueError: neither of them, or a declaration that is wrong, naming what of it.
    """
    if isinstance(given, Mapping):
        return declared(given, str(given.get("name")))
    if str(given) in SKELETONS:
        return _checked(SKELETONS[str(given)], str(given))
    path = Path(given)
    if not path.is_file():
        raise ValueError(
            f"got skeleton {str(given)!r}, expected one of {', '.join(SKELETONS)}, or the path of "
            "a JSON file that declares one (docs/pretraining.md)"
        )
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path}: got more than {MAX_BYTES} bytes, expected a small declaration")
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: got {error}, expected a JSON object of a skeleton") from None
    return declared(content, str(path))


def declaration(skeleton: Skeleton) -> str | dict[str, Any]:
    """What `skeleton_of` takes: the name of a built-in skeleton, the content of a declared one."""
    if SKELETONS.get(skeleton.name) == skeleton:
        return skeleton.name
    parents = (skeleton.names[parent] if parent >= 0 else None for parent in skeleton.parents)
    joints = dict(zip(skeleton.names, parents, strict=True))
    rules = {name: list(expressions) for name, expressions in skeleton.rules}
    optional = [list(group) for group in skeleton.optional]
    return {"name": skeleton.name, "joints": joints, "rules": rules, "optional": optional}


def declared(content: Any, where: str) -> Skeleton:
    """The skeleton of a declaration's content; `where` it stands, for messages."""
    if not isinstance(content, Mapping) or set(content) - KEYS:
        shown = sorted(content) if isinstance(content, Mapping) else type(content).__name__
        raise ValueError(f"{where}: got {shown}, expected an object of {', '.join(KEYS)}")
    name, joints = content.get("name"), content.get("joints")
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z]\w*", name) or name in SKELETONS:
        raise ValueError(
            f"{where}: got name {name!r}, expected letters, digits and '_', and no built-in "
            f"skeleton's ({', '.join(SKELETONS)})"
        )
    if not isinstance(joints, Mapping) or not joints:
        raise ValueError(f"{where}: got joints {joints!r:.60}, expected an object JOINT: PARENT")
    names = tuple(joints)
    parents = tuple(_parent(joints, joint, where) for joint in names)
    rules = _rules(content.get("rules", {}), names, where)
    optional = _groups(content.get("optional", []), names, where)
    return _checked(Skeleton(name, names, parents, rules, optional), where)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; the same key twice is a mistake that json would hide."""
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"{next(key for key in keys if keys.count(key) > 1)!r} twice")
    return found


def _parent(joints: Mapping[str, Any], joint: str, where: str) -> int:
    """The index of a joint's parent, -1 of the root."""
    if not re.fullmatch(r"[A-Za-z]\w*", joint):
        raise ValueError(f"{where}: got joint {joint!r}, expected letters, digits and '_'")
    names, above = list(joints), joints[joint]
    if above is None:
        return -1
    if not isinstance(above, str) or above not in joints:
        raise ValueError(
            f"{where}: got parent {above!r} of {joint}, expected one of {', '.join(names)}"
        )
    seen = [joint]
    while (above := joints.get(seen[-1])) is not None:
        if above in seen:
            raise ValueError(
                f"{where}: got a cycle {' < '.join([*seen, above])}, expected a tree below root"
            )
        seen.append(above)
    if names.index(joints[joint]) > names.index(joint):
        raise ValueError(f"{where}: got {joint} before its parent {joints[joint]}; do swap them")
    return names.index(joints[joint])


def _rules(
    given: Any, names: tuple[str, ...], where: str
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The rules of a declaration, their expressions checked."""
    if not isinstance(given, Mapping):
        raise ValueError(
            f"{where}: got rules {given!r:.60}, expected an object JOINT: [EXPRESSION]"
        )
    for joint, expressions in given.items():
        if joint not in names:
            raise ValueError(
                f"{where}: got a rule for {joint!r}, expected one of the joints {', '.join(names)}"
            )
        if not isinstance(expressions, list | tuple) or not all(
            isinstance(text, str) for text in expressions
        ):
            raise ValueError(
                f"{where}: got rule {expressions!r:.60} of {joint}, expected a list of expressions"
            )
        for text in expressions:
            parse_expression(text)
    return tuple((joint, tuple(expressions)) for joint, expressions in given.items())


def _groups(given: Any, names: tuple[str, ...], where: str) -> tuple[tuple[str, ...], ...]:
    """The optional joints of a declaration."""
    if not isinstance(given, list | tuple) or not all(
        isinstance(group, list | tuple) and group for group in given
    ):
        raise ValueError(f"{where}: got optional {given!r:.60}, expected lists of joints")
    for joint in (joint for group in given for joint in group):
        if joint not in names[1:]:
            raise ValueError(
                f"{where}: got optional joint {joint!r}, expected one of {', '.join(names[1:])}"
            )
    return tuple(tuple(group) for group in given)


def _checked(skeleton: Skeleton, where: str) -> Skeleton:
    """The skeleton, if a network can have it."""
    names = skeleton.names
    roots = [name for name, parent in zip(names, skeleton.parents, strict=True) if parent < 0]
    if roots != ["root"] or names[0] != "root":
        raise ValueError(
            f"{where}: got joints without parent {', '.join(roots) or 'none'}, expected root "
            "alone, and first; a network's poses are relative to it"
        )
    for name in names:
        if (other := other_side(name)) not in names:
            raise ValueError(f"{where}: got {name} without {other}, expected both sides")
    for (above, joint), other in zip(skeleton.limbs, skeleton.mirror[1:], strict=True):
        if skeleton.parents[other] != skeleton.mirror[above]:
            raise ValueError(
                f"{where}: got {names[joint]} below {names[above]} and {names[other]} below "
                f"{names[skeleton.parents[other]]}, expected both sides alike"
            )
    for name, above in NEEDED.items():
        if name not in names:
            raise ValueError(f"{where}: got no joint {name}, expected {', '.join(NEEDED)}")
        parent = names[skeleton.parents[skeleton.index(name)]]
        if above is not None and parent != above:
            raise ValueError(f"{where}: got {name} below {parent}, expected it below {above}")
    return skeleton
