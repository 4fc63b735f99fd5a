"""The same two people in the file of every detector, written from what describes the formats."""

import csv
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dstformer_jax.body.skeleton import (
    BODY25,
    COCO17,
    COCO18,
    HALPE26,
    MEDIAPIPE33,
    SKELETONS,
    Skeleton,
)

LAST = 12
FRAMES = {0: (2, 3, 4, 7, 8, LAST), 1: (3, 4, 8)}  # frames in which each of two people is seen
MISSING = (4, "left_wrist")  # a joint of the first person that the detector does not find
WIDTH, HEIGHT = 1280, 720
_NAMES = sorted({name for skeleton in SKELETONS.values() for name in skeleton.names})
_BODY = dict(zip(_NAMES, np.random.default_rng(5).uniform(0, 240, (len(_NAMES), 2)), strict=True))


def person(who: int, frame: int, skeleton: Skeleton = COCO17) -> np.ndarray:
    """float32 [J, 3]: x, y in pixels and score; a missing joint is 0, 0, 0."""
    points = np.array([_BODY[name] for name in skeleton.names])
    points += np.array([100 + 600 * who + 3 * frame, 90])
    scores = 0.5 + 0.4 * np.sin(np.arange(len(points)) + frame + who)
    whole = np.column_stack([points.round(2), scores.round(3)])
    if who == 0 and frame == MISSING[0]:
        whole[skeleton.index(MISSING[1])] = 0
    return whole.astype(np.float32)


def at(frame: int, people: int = 2) -> list[int]:
    """Who is seen in a frame."""
    return [who for who in range(people) if frame in FRAMES[who]]


@dataclass(frozen=True)
class Sample:
    """A file, and what reading it must give.

    scored: whether the format has scores; scale: what x and y were divided by; people: how many the
    format holds; first: added to the frames' numbers; missing: whether it can say that a joint is.
    """

    path: Path
    format: str
    skeleton: Skeleton
    scored: bool = True
    scale: tuple[float, float] = (1, 1)
    people: int = 2
    first: int = 0
    unit: str = "px"
    missing: bool = True


SAMPLES: dict[str, Callable[[Path], Sample]] = {}


def sample(make: Callable[[Path], Sample]) -> Callable[[Path], Sample]:
    SAMPLES[make.__name__] = make
    return make


def save(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def flat(points: np.ndarray) -> list[float]:
    return [float(f"{x:.6g}") for x in points.ravel()]


def lists(points: np.ndarray) -> list[list[float]]:
    return [flat(row) for row in points]


def seen(people: int = 2):
    """(frame, who) of all sightings, in order of frames."""
    return [(frame, who) for frame in range(LAST + 1) for who in at(frame, people)]


@sample
def openpose_folder(folder: Path) -> Sample:
    for frame in range(LAST + 1):
        people = [
            {
                "person_id": [-1],
                "pose_keypoints_2d": flat(person(who, frame, BODY25)),
                "face_keypoints_2d": [],
                "hand_left_keypoints_2d": [],
                "pose_keypoints_3d": [],
            }
            for who in at(frame)
        ]
        save(
            folder / "clip" / f"clip_{frame:012d}_keypoints.json",
            {"version": 1.3, "people": people},
        )
    return Sample(folder / "clip", "openpose", BODY25)


@sample
def openpose_archive(folder: Path) -> Sample:
    with zipfile.ZipFile(folder / "clip.zip", "w") as archive:
        archive.writestr("__MACOSX/clip/._clip_0_keypoints.json", b"\x00")
        for frame in range(LAST + 1):
            people = [{"pose_keypoints_2d": flat(person(w, frame, COCO18))} for w in at(frame)]
            text = json.dumps({"version": 1.2, "people": people})
            archive.writestr(f"clip/clip_{frame}_keypoints.json", text)
    return Sample(folder / "clip.zip", "openpose", COCO18)


def _alphapose(path: Path, skeleton: Skeleton, joints: int, **fields: Any) -> Path:
    records = []
    for frame, who in sorted(seen(), key=lambda pair: f"{pair[0]}.jpg"):  # sorted as text
        points = person(who, frame, skeleton)
        points = np.pad(points, [(0, joints - len(points)), (0, 0)], constant_values=1)
        record = {"image_id": f"{frame}.jpg", "category_id": 1, "keypoints": flat(points)}
        records.append({**record, "score": 2.9, **{k: f(who) for k, f in fields.items()}})
    return save(path, records)


@sample
def alphapose_17(folder: Path) -> Sample:
    return Sample(_alphapose(folder / "a.json", COCO17, 17), "alphapose", COCO17)


@sample
def alphapose_26(folder: Path) -> Sample:
    path = _alphapose(
        folder / "a.json", HALPE26, 26, idx=lambda who: who, box=lambda _: [1, 2, 3, 4]
    )
    return Sample(path, "alphapose", HALPE26)


@sample
def alphapose_133(folder: Path) -> Sample:
    path = _alphapose(folder / "a.json", COCO17, 133, idx=lambda who: [float(who)])
    return Sample(path, "alphapose", COCO17)


@sample
def alphapose_136(folder: Path) -> Sample:
    path = _alphapose(folder / "a.json", HALPE26, 136, idx=lambda who: [[who, 1.0]])
    return Sample(path, "alphapose", HALPE26)


def _alphapose_by_image(path: Path, people: str, joints: str) -> Sample:
    images = {
        f"{frame}.jpg": {
            "version": 0.1,
            people: [{joints: flat(person(who, frame, COCO18))} for who in at(frame)],
        }
        for frame in sorted({frame for frame, _ in seen()}, key=str)
    }
    return Sample(save(path, images), "alphapose", COCO18)


@sample
def alphapose_open(folder: Path) -> Sample:
    return _alphapose_by_image(folder / "a.json", "people", "pose_keypoints_2d")


@sample
def alphapose_cmu(folder: Path) -> Sample:
    return _alphapose_by_image(folder / "a.json", "bodies", "joints")


@sample
def coco_results(folder: Path) -> Sample:
    rows = [
        {"image_id": f, "category_id": 1, "keypoints": flat(person(who, f)), "score": 0.9}
        for f, who in seen()
    ]
    return Sample(save(folder / "results.json", rows), "coco", COCO17)


@sample
def coco_annotations(folder: Path) -> Sample:
    images = [
        {"id": 7000 + f, "file_name": f"v/{f:06d}.jpg", "width": WIDTH, "height": HEIGHT}
        for f in range(LAST + 1)
    ]
    rows = []
    for frame, who in seen():
        points = person(who, frame)
        points[:, 2] = 2 * (points[:, 2] > 0)
        rows.append({"image_id": 7000 + frame, "keypoints": flat(points), "track_id": who})
    content = {"images": images, "annotations": rows, "categories": [{"id": 1, "name": "person"}]}
    return Sample(save(folder / "annotations.json", content), "coco", COCO17, scored=False)


def _instance(who: int, frame: int, skeleton: Skeleton = COCO17) -> dict[str, Any]:
    points = person(who, frame, skeleton)
    return {
        "keypoints": lists(points[:, :2]),
        "keypoint_scores": flat(points[:, 2]),
        "bbox": [[1.0, 2.0, 3.0, 4.0]],  # the tuple of one element
        "bbox_score": 0.9,
    }


@sample
def mmpose_demo(folder: Path) -> Sample:
    frames = [
        {"frame_id": frame + 1, "instances": [_instance(who, frame) for who in at(frame)]}
        for frame in range(LAST + 1)
    ]
    names = {str(place): name for place, name in enumerate(COCO17.names)}
    content = {"meta_info": {"keypoint_id2name": names}, "instance_info": frames}
    return Sample(save(folder / "results.json", content), "mmpose", COCO17)


@sample
def mmpose_inferencer(folder: Path) -> Sample:
    frames = []
    for frame in range(LAST + 1):
        instances = [_instance(who, frame) for who in at(frame)]
        for instance in instances:  # 133 joints of the whole body
            instance["keypoints"] += [[1.0, 1.0]] * 116
            instance["keypoint_scores"] += [0.5] * 116
        frames.append({"frame_id": frame, "instances": instances})
    return Sample(save(folder / "video.json", frames), "mmpose", COCO17)


@sample
def mmpose_images(folder: Path) -> Sample:
    for frame in range(LAST + 1):
        save(folder / "predictions" / f"{frame}.json", [_instance(who, frame) for who in at(frame)])
    return Sample(folder / "predictions", "mmpose", COCO17)


@sample
def sapiens_images(folder: Path) -> Sample:
    for frame in range(LAST + 1):
        people = [
            {key: value for key, value in _instance(who, frame).items() if "bbox" not in key}
            for who in at(frame)
        ]
        save(folder / "out" / f"{frame:06d}.json", {"instance_info": people})
    return Sample(folder / "out", "mmpose", COCO17)


def _columns(who: int, frame: int, **fields: Any) -> dict[str, Any]:
    x, y, visible = (flat(column) for column in person(who, frame).T)
    keypoints = {"x": x, "y": y, "visible": visible}
    return {"name": "person", "class": 0, "confidence": 0.8, "keypoints": keypoints, **fields}


@sample
def ultralytics_frames(folder: Path) -> Sample:
    frames = [[_columns(who, f, track_id=who + 1) for who in at(f)] for f in range(LAST + 1)]
    return Sample(save(folder / "results.json", frames), "ultralytics", COCO17)


@sample
def ultralytics_text(folder: Path) -> Sample:
    for frame in range(LAST + 1):
        lines = []
        for who in at(frame):
            points = person(who, frame) / (WIDTH, HEIGHT, 1)
            values = [0, 0.5, 0.5, 0.2, 0.7, *points.ravel().tolist(), 0.93, who + 1]
            lines.append(" ".join(f"{value:.6g}" for value in values))
        if lines:  # no file without people
            save(folder / "labels" / f"video_{frame}.txt", "\n".join(lines) + "\n")
    scale = (WIDTH, HEIGHT)
    return Sample(folder / "labels", "ultralytics", COCO17, scale=scale, unit="normalised")


@sample
def vitpose(folder: Path) -> Sample:
    images = []
    for frame in range(LAST + 1):
        people = []
        for who in at(frame):
            points = person(who, frame)
            found = np.flatnonzero(points[:, 2] > 0)  # the threshold leaves the others out
            people.append(
                {
                    "keypoints": lists(points[found, :2]),
                    "scores": flat(points[found, 2]),
                    "labels": found.tolist(),
                    "bbox": [1.0, 2.0, 3.0, 4.0],
                }
            )
        images.append(people)
    return Sample(save(folder / "poses.json", images), "vitpose", COCO17)


def _padded(skeleton: Skeleton) -> np.ndarray:
    """float32 [F, 2, J, 3] with NaN where nobody is."""
    table = np.full((LAST + 1, 2, skeleton.num_joints, 3), np.nan, np.float32)
    for frame, who in seen():
        table[frame, at(frame).index(who)] = person(who, frame, skeleton)
    return table


@sample
def rtmlib_padded(folder: Path) -> Sample:
    table = _padded(HALPE26)
    np.savez(folder / "r.npz", keypoints=table[..., :2], scores=table[..., 2])
    return Sample(folder / "r.npz", "rtmlib", HALPE26)


@sample
def rtmlib_objects(folder: Path) -> Sample:
    points, scores = np.empty(LAST + 1, object), np.empty(LAST + 1, object)
    for frame in range(LAST + 1):
        people = [person(who, frame) for who in at(frame)]
        points[frame] = np.array([one[:, :2] for one in people])
        scores[frame] = np.array([one[:, 2] for one in people])
    np.savez(folder / "r.npz", kpts=points, scores=scores)
    return Sample(folder / "r.npz", "rtmlib", COCO17)


@sample
def rtmlib_rows(folder: Path) -> Sample:
    people = np.stack([person(who, frame) for frame, who in seen()])
    numbers, ids = np.array(seen()).T
    arrays = {"keypoints": people[..., :2], "scores": people[..., 2]}
    np.savez(folder / "r.npz", frames=numbers, track_ids=ids, **arrays)
    return Sample(folder / "r.npz", "rtmlib", COCO17)


@sample
def detectron2_json(folder: Path) -> Sample:
    frames = [
        {
            "pred_boxes": [[1, 2, 3, 4]] * len(at(frame)),
            "pred_keypoints": [lists(person(who, frame)) for who in at(frame)],
        }
        for frame in range(LAST + 1)
    ]
    return Sample(save(folder / "d.json", frames), "detectron2", COCO17)


@sample
def detectron2_npz(folder: Path) -> Sample:
    np.savez(folder / "d.npz", pred_keypoints=_padded(COCO17), pred_boxes=np.zeros((3, 4)))
    return Sample(folder / "d.npz", "detectron2", COCO17)


def table(path: Path, rows: list[list[Any]]) -> Path:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return save(path, text.getvalue())


_PARTS = {"scale": (WIDTH, HEIGHT), "unit": "normalised"}


def _landmarks(who: int, frame: int) -> np.ndarray:
    """float32 [33, 4]: x, y, z, visibility."""
    points = person(who, frame, MEDIAPIPE33) / (WIDTH, HEIGHT, 1)
    return np.column_stack([points[:, :2], 0.3 * points[:, 0], points[:, 2]])


def _mediapipe_wide(path: Path, names: list[str], frame_column: bool) -> Sample:
    rows: list[list[Any]] = [["frame", *names] if frame_column else names]
    for frame in range(LAST + 1):
        values = flat(_landmarks(0, frame)) if at(frame, 1) else [""] * 132
        if not frame_column:
            rows.append(values)
        elif at(frame, 1):  # rows without a person are left out
            rows.append([frame, *values])
    return Sample(table(path, rows), "mediapipe", MEDIAPIPE33, people=1, **_PARTS)


@sample
def mediapipe_x0(folder: Path) -> Sample:
    names = [f"{axis}{joint}" for joint in range(33) for axis in "xyzv"]
    return _mediapipe_wide(folder / "m.csv", names, frame_column=False)


@sample
def mediapipe_x1_from_one(folder: Path) -> Sample:
    names = [f"{axis}{joint}" for joint in range(1, 34) for axis in "xyzv"]
    return _mediapipe_wide(folder / "m.csv", names, frame_column=True)


@sample
def mediapipe_l0_visibility(folder: Path) -> Sample:
    words = ("x", "y", "z", "visibility")
    names = [f"L{joint}_{word}" for joint in range(33) for word in words]
    return _mediapipe_wide(folder / "m.csv", names, frame_column=True)


def _shouted(name: str) -> str:
    side, _, part = name.partition("_")
    return (f"MOUTH_{side}" if part == "mouth" else name).upper()


@sample
def mediapipe_named(folder: Path) -> Sample:
    names = [f"{_shouted(name)}_{word}" for name in MEDIAPIPE33.names for word in "xyzv"]
    return _mediapipe_wide(folder / "m.csv", names, frame_column=True)


@sample
def mediapipe_long(folder: Path) -> Sample:
    rows: list[list[Any]] = [["frame", "landmark", "x", "y", "z", "visibility"]]
    for frame, who in seen(1):
        rows += [[frame, joint, *flat(row)] for joint, row in enumerate(_landmarks(who, frame))]
    return Sample(table(folder / "m.csv", rows), "mediapipe", MEDIAPIPE33, people=1, **_PARTS)


@sample
def mediapipe_long_people(folder: Path) -> Sample:
    rows: list[list[Any]] = [
        ["frame_idx", "person_id", "landmark_name", "x", "y", "z", "visibility"]
    ]
    for frame, who in seen():
        for name, row in zip(MEDIAPIPE33.names, _landmarks(who, frame), strict=True):
            rows.append([frame, who, _shouted(name), *flat(row)])
    return Sample(table(folder / "m.csv", rows), "mediapipe", MEDIAPIPE33, **_PARTS)


def _landmark(row: np.ndarray) -> dict[str, float]:
    x, y, z, visibility = flat(row)
    return {"x": x, "y": y, "z": z, "visibility": visibility, "presence": 1.0}


@sample
def mediapipe_json(folder: Path) -> Sample:
    frames = [
        {
            "frame": frame,
            "timestamp_ms": 33 * frame,
            "pose_landmarks": [[_landmark(r) for r in _landmarks(who, frame)] for who in at(frame)],
        }
        for frame in range(LAST + 1)
    ]
    return Sample(save(folder / "m.json", frames), "mediapipe", MEDIAPIPE33, **_PARTS)


@sample
def mediapipe_legacy_json(folder: Path) -> Sample:
    frames = [
        {"landmark": [_landmark(r) for r in _landmarks(0, frame)]} if at(frame, 1) else None
        for frame in range(LAST + 1)
    ]
    path = save(folder / "m.json", {"video": "a.mp4", "frames": frames})
    return Sample(path, "mediapipe", MEDIAPIPE33, people=1, **_PARTS)


@sample
def tfpose(folder: Path) -> Sample:
    short = {"left": "L", "right": "R"}
    names = [
        short[side] + part if (side := name.partition("_")[0]) in short else name
        for name in COCO18.names
        for part in [name.partition("_")[2]]
    ]
    rows: list[list[Any]] = [[f"{n}_{axis}" for n in names for axis in "xy"] + ["class"]]
    for frame in range(LAST + 1):
        points = person(0, frame, COCO18)[:, :2] / (WIDTH, HEIGHT)
        points *= bool(at(frame, 1))
        rows.append([*flat(points), "kick" if frame < 5 else "wave"])
    return Sample(table(folder / "t.csv", rows), "tfpose", COCO18, scored=False, people=1, **_PARTS)


DLC_NAMES = [name.replace("_", "") for name in COCO17.names] + ["tail"]


def _with_tail(points: np.ndarray) -> list[Any]:
    """A row of cells; a missing joint has empty x and y."""
    cells = [["", "", 0.0] if row[2] == 0 else flat(row) for row in points]
    return [cell for row in [*cells, [1.0, 1.0, 0.9]] for cell in row]


@sample
def deeplabcut_three_rows(folder: Path) -> Sample:
    rows: list[list[Any]] = [
        ["scorer", *["DLC_resnet50"] * 54],
        ["bodyparts", *[name for name in DLC_NAMES for _ in range(3)]],
        ["coords", *["x", "y", "likelihood"] * 18],
    ]
    for frame in range(LAST + 1):
        rows.append([frame, *(_with_tail(person(0, frame)) if at(frame, 1) else [""] * 54)])
    return Sample(table(folder / "d.csv", rows), "deeplabcut", COCO17, people=1)


@sample
def deeplabcut_four_rows(folder: Path) -> Sample:
    rows: list[list[Any]] = [
        ["scorer", *["DLC_dlcrnet"] * 108],
        ["individuals", *["ind1"] * 54, *["ind2"] * 54],
        ["bodyparts", *[name for name in DLC_NAMES for _ in range(3)] * 2],
        ["coords", *["x", "y", "likelihood"] * 36],
    ]
    for frame in range(LAST + 1):
        cells = [
            _with_tail(person(who, frame)) if who in at(frame) else [""] * 54 for who in (0, 1)
        ]
        rows.append([frame, *cells[0], *cells[1]])
    return Sample(table(folder / "d.csv", rows), "deeplabcut", COCO17)


@sample
def sleap(folder: Path) -> Sample:
    columns = [f"{name}.{what}" for name in HALPE26.names for what in ("x", "y", "score")]
    rows: list[list[Any]] = [["track", "frame_idx", "instance.score", *columns]]
    for frame, who in seen():
        cells = [["", "", ""] if p[2] == 0 else flat(p) for p in person(who, frame, HALPE26)]
        rows.append([f"track_{who}", frame, 0.8, *[cell for row in cells for cell in row]])
    return Sample(table(folder / "s.csv", rows), "sleap", HALPE26)


@sample
def plain_npz(folder: Path) -> Sample:
    points = np.zeros((LAST + 1, 26, 2), np.float32)
    scores = np.zeros((LAST + 1, 26), np.float32)
    for frame, who in seen(1):
        points[frame], scores[frame] = (
            np.split(person(who, frame, HALPE26), [2], -1)[0],
            person(who, frame, HALPE26)[:, 2],
        )
    arrays = {"points": points, "confidence": scores, "skeleton": "halpe26", "unit": "px"}
    np.savez(folder / "p.npz", fps=25.0, axes="image", **arrays)
    return Sample(folder / "p.npz", "npz", HALPE26, people=1)


@sample
def plain_csv_long(folder: Path) -> Sample:
    rows: list[list[Any]] = [["frame", "track", "joint", "x", "y", "confidence"]]
    for frame, who in seen():
        for name, joint in zip(COCO17.names, person(who, frame), strict=True):
            rows.append([frame, who, name, *flat(joint)])
    return Sample(table(folder / "p.csv", rows), "csv", COCO17)


@sample
def plain_csv_wide(folder: Path) -> Sample:
    columns = [f"{name}_{what}" for name in BODY25.names for what in ("x", "y", "conf")]
    rows: list[list[Any]] = [["image_name", *columns]]
    rows += [[f"f{frame}.png", *flat(person(who, frame, BODY25))] for frame, who in seen()]
    return Sample(table(folder / "p.csv", rows), "csv", BODY25)
