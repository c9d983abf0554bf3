"""Meshes against the field's own tools: trimesh reads every format, finds each object closed and of the size that is said;
DracoPy decodes every piece of the multi-resolution meshes, which together are closed again at every level.

    python mesh_interop.py DEEP3M [DATA]

DATA holds real label volumes; without it only made-up volumes are compared, and that is said.
"""
import json
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import DracoPy
import numpy as np
import scipy.ndimage
import tifffile
import trimesh
import zarr

VOXEL = (30.0, 8.0, 8.0)


def touching():
    """Cells of random seeds, all touching: every voxel has an object."""
    random = np.random.default_rng(3)
    shape = (40, 90, 110)
    seeds = np.zeros(shape, "u4")
    for number in range(1, 31):
        seeds[tuple(random.integers(0, n) for n in shape)] = number
    nearest = scipy.ndimage.distance_transform_edt(seeds == 0, VOXEL, return_distances=False, return_indices=True)
    return seeds[tuple(nearest)]


def noise():
    """Objects that touch themselves and each other along edges and corners."""
    return np.random.default_rng(4).integers(0, 4, (20, 30, 30)).astype("u4")


def volumes(data):
    yield "cells", touching()
    yield "noise", noise()
    if data is None:
        print("SKIPPED: no real label volumes; give the folder that holds them")
        return
    for path, least in (("lucchi-mito/labels.tif", 2000), ("epfl-vesicles/mitochondria.tif", 2000)):
        labels = scipy.ndimage.label(tifffile.imread(data / path)[:30, :300, :400] > 0)[0].astype("u4")
        sizes = np.bincount(labels.ravel())
        labels[sizes[labels] < least] = 0
        yield path, labels


def run(deep3m, folder, *words):
    done = subprocess.run([deep3m, "mesh", "labels.zarr", *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def closed(name, mesh, said):
    """One mesh is closed, faces outwards and is as large as was said."""
    assert mesh.is_watertight and mesh.is_winding_consistent, f"{name}: not closed"
    assert mesh.euler_number % 2 == 0, name
    for key, value in (("area_um2", mesh.area / 1e6), ("volume_um3", mesh.volume / 1e9)):
        assert abs(value / said[key] - 1) < 1e-3, f"{name}: {key} is {value}, said {said[key]}"


def by_object(path, objects):
    """The mesh of each object in one file."""
    if path.suffix == ".glb":
        scene = trimesh.load(path)
        whole = scene.to_mesh()
        meshes = {int(name): mesh for name, mesh in scene.geometry.items()}
        # In the scene nm are µm, and rows go down.
        total = sum(mesh.volume for mesh in meshes.values())
        assert abs(whole.volume / (total / 1e9) - 1) < 1e-4, "the scene's scale"
        assert whole.bounds[1][1] < VOXEL[1] / 1000, "rows go down"
        return meshes
    if path.suffix == ".obj":
        scene = trimesh.load_scene(path, split_objects=True, process=False)
        return {int(name): mesh for name, mesh in scene.geometry.items()}
    mesh = trimesh.load(path, process=False)
    ids = mesh.metadata["_ply_raw"]["face"]["data"]["object"]
    return {number: mesh.submesh([np.flatnonzero(ids == number)], append=True) for number in objects}


def legacy(folder, number):
    name, = json.loads((folder / f"{number}:0").read_text())["fragments"]
    data = (folder / name).read_bytes()
    count, = struct.unpack_from("<I", data)
    places = np.frombuffer(data, "<f4", 3 * count, 4).reshape(-1, 3)
    return trimesh.Trimesh(places, np.frombuffer(data, "<u4", offset=4 + 12 * count).reshape(-1, 3), process=False)


def z_order(cell):
    return sum((int(value) >> bit & 1) << (3 * bit + axis) for axis, value in enumerate(cell) for bit in range(8))


def levels(folder, number):
    """The meshes of all levels, from the manifest and the pieces as Neuroglancer's specification has them."""
    index = (folder / f"{number}.index").read_bytes()
    data = (folder / f"{number}").read_bytes()
    shape, origin = np.frombuffer(index, "<f4", 6).reshape(2, 3).astype("f8")
    count, = struct.unpack_from("<I", index, 24)
    scales = np.frombuffer(index, "<f4", count, 28)
    assert (np.diff(scales) > 0).all() and (scales > 0).all(), scales
    offsets = np.frombuffer(index, "<f4", 3 * count, 28 + 4 * count)
    assert not offsets.any()
    counts = np.frombuffer(index, "<u4", count, 28 + 16 * count)
    at, start = 28 + 20 * count, 0
    for level, pieces in enumerate(counts):
        cells = np.frombuffer(index, "<u4", 3 * pieces, at).reshape(3, -1).T
        sizes = np.frombuffer(index, "<u4", pieces, at + 12 * pieces)
        at += 16 * pieces
        order = [z_order(cell) for cell in cells]
        assert order == sorted(set(order)), "pieces along the Z curve"
        parts = []
        for cell, size in zip(cells, sizes):
            piece = DracoPy.decode(data[start:start + size])
            start += size
            corners = np.asarray(piece.points)
            assert np.array_equal(corners, np.round(corners)) and corners.min() >= 0 and corners.max() < 1 << 16
            faces = np.asarray(piece.faces)
            if level > 0:
                side = corners[faces]
                crosses = (side.min(1) < 1 << 15) & (side.max(1) > 1 << 15)
                assert not crosses.any(), "a triangle crosses the middle of a piece"
            parts.append(trimesh.Trimesh(origin + shape * 2.0**level * (cell + corners / 65535.0), faces, process=False))
        if pieces == 1:
            yield parts[0]
            continue
        # Corners at the border of two pieces are the same place.
        whole = trimesh.util.concatenate(parts)
        keys = np.round((whole.vertices - origin) / shape * 65535.0 / 2.0**level).astype("i8")
        _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        yield trimesh.Trimesh(whole.vertices[first], inverse.ravel()[whole.faces], process=False)
    assert at == len(index) and start == len(data), "all of both files is used"


def has_no_border(mesh):
    """Whether each edge is walked as often in one direction as in the other: what rounding folds up may share an edge."""
    edges = mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    edges = edges[edges[:, 0] != edges[:, 1]]
    forward = np.sign(edges[:, 1] - edges[:, 0])
    keys, inverse = np.unique(np.sort(edges, axis=1), axis=0, return_inverse=True)
    return not np.bincount(inverse.ravel(), forward, len(keys)).any()


def compare(deep3m, folder, labels):
    stored = zarr.create_array(folder / "labels.zarr", shape=labels.shape, chunks=(32, 64, 64), dtype="u4", overwrite=True)
    stored[:] = labels
    size = ("--overwrite", "--voxel-size", ",".join(map(str, VOXEL)))
    said = json.loads(run(deep3m, folder, "-o", "meshes", "--json", *size))
    objects = {mesh["id"]: mesh for mesh in said["meshes"]}
    assert list(objects) == [int(number) for number in np.unique(labels) if number]
    for number, row in objects.items():
        closed(f"{number}.ply", trimesh.load(folder / "meshes" / f"{number}.ply", process=False), row)
        assert row["voxels"] == np.count_nonzero(labels == number)
    for name in ("all.ply", "all.obj", "all.glb"):
        run(deep3m, folder, "-o", name, *size)
        meshes = by_object(folder / name, objects)
        assert sorted(meshes) == sorted(objects), name
        for number, row in objects.items():
            closed(f"{name}, {number}", meshes[number], row)
    run(deep3m, folder, "-o", "stl", "--format", "stl", *size)
    for number, row in objects.items():
        mesh = trimesh.load(folder / "stl" / f"{number}.stl", process=False)
        assert len(mesh.faces) == row["triangles"]
        assert abs(mesh.volume / 1e9 / row["volume_um3"] - 1) < 1e-3
    run(deep3m, folder, "-o", "legacy", "--format", "precomputed-legacy", *size)
    for number, row in objects.items():
        closed(f"legacy {number}", legacy(folder / "legacy", number), row)
    run(deep3m, folder, "-o", "m.precomputed", *size)
    most = 0
    for number, row in objects.items():
        found = list(levels(folder / "m.precomputed", number))
        most = max(most, len(found))
        # Rounding to 65535ths may fold a triangle, never move the surface.
        for level, mesh in enumerate(found):
            assert has_no_border(mesh), f"{number}, level {level}: the pieces do not fit"
            within = 1e-3 if level == 0 else 0.05 * 2**level
            assert abs(mesh.volume / 1e9 / row["volume_um3"] - 1) < within + 0.01, f"{number}, level {level}"
    return objects, said, most


def main():
    deep3m = Path(sys.argv[1]).resolve()
    data = Path(sys.argv[2]) if len(sys.argv) > 2 and Path(sys.argv[2]).is_dir() else None
    with tempfile.TemporaryDirectory() as folder:
        for name, labels in volumes(data):
            objects, said, most = compare(deep3m, Path(folder), labels)
            print(f"{name}: {len(objects)} objects, {said['triangles']} triangles, closed and of the size said in 6 formats; "
                  f"up to {most} levels of detail")


if __name__ == "__main__":
    main()
