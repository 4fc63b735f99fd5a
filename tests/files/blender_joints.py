"""Run inside Blender: imports a file and saves where the joints are in some frames.

blender --background --python blender_joints.py -- FILE OUTPUT.json FPS FRAME...
(or with the Python of the bpy package). Frames count from the first of a BVH, from time 0 of a GLB.
The output is {"joints": {armature: {bone: [[x, y, z]]}}, "vertices": {mesh: [[x, y, z]]}} in metres
and Blender's axes (z up); the vertices are those of the last frame.
"""

import json
import sys
from pathlib import Path

import bpy


def joints(frames: list[float]) -> dict[str, dict[str, list[list[float]]]]:
    """Heads of all bones of all armatures in the world."""
    out: dict[str, dict[str, list[list[float]]]] = {}
    for frame in frames:
        bpy.context.scene.frame_set(int(frame), subframe=frame % 1)
        for thing in bpy.data.objects:
            if thing.type == "ARMATURE":
                for bone in thing.pose.bones:
                    place = thing.matrix_world @ bone.head
                    out.setdefault(thing.name, {}).setdefault(bone.name, []).append(list(place))
    return out


def deformed(frame: float) -> dict[str, list[list[float]]]:
    """Vertices of all skinned meshes in one frame, in the world."""
    bpy.context.scene.frame_set(int(frame))
    graph = bpy.context.evaluated_depsgraph_get()
    out = {}
    for thing in bpy.data.objects:
        if thing.type == "MESH" and thing.modifiers:
            seen = thing.evaluated_get(graph)
            out[thing.name] = [list(seen.matrix_world @ v.co) for v in seen.to_mesh().vertices]
    return out


def main() -> None:
    words = sys.argv[sys.argv.index("--") + 1 :]
    path, output, fps = words[0], words[1], int(words[2])
    frames = [float(word) for word in words[3:]]
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.fps = fps
    first = 0
    if path.endswith(".bvh"):
        bpy.ops.preferences.addon_enable(module="io_anim_bvh")
        bpy.ops.import_anim.bvh(filepath=path, global_scale=0.01)
        first = min(action.frame_range[0] for action in bpy.data.actions)
    else:
        bpy.ops.preferences.addon_enable(module="io_scene_gltf2")
        bpy.ops.import_scene.gltf(filepath=path)
    content = {
        "joints": joints([first + frame for frame in frames]),
        "vertices": deformed(first + frames[-1]),
    }
    Path(output).write_text(json.dumps(content))


main()
