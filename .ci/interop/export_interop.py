"""Checks Deep3M's exports with the programs of the field: onnx, onnxruntime, bioimageio.spec, bioimageio.core, safetensors.

    pip install -r .ci/interop/requirements.txt
    cargo build --workspace --bins --example reference
    python .ci/interop/export_interop.py target/debug/deep3m target/debug/examples/reference

Models are trained a little or of random weights. Probabilities of onnxruntime must be those of Deep3M to 1e-5, and
packages must pass bioimageio.core's own test. Exits 1 at a difference.
"""

import hashlib
import io
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import yaml
from bioimageio.core import test_model
from safetensors.numpy import load_file

DEEP3M, REFERENCE = (str(Path(a).resolve()) for a in sys.argv[1:3])
TOLERANCE = 1e-5
FAILED = []


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{command}: {done.stderr.strip()}")
    return done.stdout


def case(name, check):
    try:
        print(f"ok      {name}  {check() or ''}", flush=True)
    except Exception as error:  # every kind of failure is a difference to report
        FAILED.append(name)
        print(f"FAILED  {name}: {error!r}", flush=True)


def session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def grey(shape, seed):
    """Grey values 0 to 255: smooth structures with noise."""
    random = np.random.default_rng(seed)
    y, x = np.indices(shape[2:])
    smooth = 128 + 60 * np.sin(y / 9 + seed) + 50 * np.sin(x / 7)
    return np.clip(smooth + random.normal(0, 20, shape), 0, 255).round().astype(np.float32)


def probabilities(model, frames, image):
    """Deep3M's own, of grey values [N, frames, H, W]."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/in.npy", image)
        run(REFERENCE, "predict", model, frames, f"{folder}/in.npy", f"{folder}/out.npy")
        return np.load(f"{folder}/out.npy")


def difference(found, expected):
    assert found.shape == expected.shape, (found.shape, expected.shape)
    worst = float(np.abs(found - expected).max())
    assert worst <= TOLERANCE, f"differs by {worst:.2e}"
    return worst


def onnx_runs(model, path, frames, binning, sizes):
    """An ONNX file is valid and gives Deep3M's probabilities, for every batch and size."""
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    assert proto.opset_import[0].version >= 17
    facts = {entry.key: entry.value for entry in proto.metadata_props}
    entry = json.loads((model / "model.json").read_text())["networks"][f"{frames}fm"]
    assert facts["weights_sha256"] == entry["sha256"] and facts["frames"] == str(frames), facts
    assert json.loads(facts["multiple_of"]) == [16 * binning] * 2, facts
    runtime = session(str(path))
    worst = 0.0
    for n, rows, columns in sizes:
        image = grey((n, frames, 16 * binning * rows, 16 * binning * columns), rows)
        (found,) = runtime.run(["foreground"], {"grey": image})
        expected = probabilities(model, frames, image)
        worst = max(worst, difference(found, expected))
        # A network that answers the same everywhere would agree with anything.
        assert rows * columns == 1 or expected.std() > 1e-4, expected.std()
    return f"largest difference {worst:.1e}"


def package_passes(path):
    """A package passes bioimageio.core's test, and onnxruntime gives its test output to 1e-5."""
    summary = test_model(path)
    assert summary.status == "passed", summary.format()
    if path.suffix == ".zip":
        archive = zipfile.ZipFile(path)
        read = archive.read
    else:
        read = lambda name: (path.parent / name).read_bytes()
    image, expected = (np.load(io.BytesIO(read(f"test_{end}.npy"))) for end in ("input", "output"))
    (found,) = session(read("weights.onnx")).run(None, {"grey": image})
    worst = difference(found, expected)
    return f"{image.shape[2]} px, {expected.min():.3f} to {expected.max():.3f}, largest difference {worst:.1e}"


def hashes_hold(folder):
    """Every file that the description names has the SHA-256 that stands beside it."""
    found = []

    def walk(node):
        if isinstance(node, dict):
            if "source" in node:
                data = (folder / node["source"]).read_bytes()
                assert hashlib.sha256(data).hexdigest() == node["sha256"], node["source"]
                found.append(node["source"])
            node = list(node.values())
        for value in node if isinstance(node, list) else []:
            walk(value)

    walk(yaml.safe_load((folder / "rdf.yaml").read_text()))
    assert sorted(found) == ["README.md", "test_input.npy", "test_output.npy", "weights.onnx"], found


def tiles_are_the_whole(folder):
    """Tiles of the smallest size, their halo cut off, put together are what the network answers to the whole image."""
    description = yaml.safe_load((folder / "rdf.yaml").read_text())
    axis, size = description["outputs"][0]["axes"][2], description["inputs"][0]["axes"][2]["size"]
    frames = len(description["inputs"][0]["axes"][1]["channel_names"])
    halo, side = axis["halo"], size["min"]
    step = side - 2 * halo
    runtime = session(str(folder / "weights.onnx"))
    image = grey((1, frames, side + 2 * step, side + step), 3)
    (whole,) = runtime.run(None, {"grey": image})
    worst = 0.0
    for y in range(0, 3 * step, step):
        for x in range(0, 2 * step, step):
            (tile,) = runtime.run(None, {"grey": image[:, :, y:y + side, x:x + side]})
            inside = np.s_[:, :, halo:halo + step, halo:halo + step]
            worst = max(worst, difference(tile[inside], whole[:, :, y:, x:][inside]))
    return f"tiles of {side} px keep {step} px; largest difference {worst:.1e}"


def weights_are_listed(model, folder):
    """safetensors reads the weights; names and shapes are those of the README."""
    readme = (folder / "README.md").read_text()
    for name in json.loads((folder / "model.json").read_text())["networks"]:
        tensors = load_file(folder / f"{name}.safetensors")
        assert (folder / f"{name}.safetensors").read_bytes() == (model / f"{name}.safetensors").read_bytes()
        part = readme.split(f"## {name}.safetensors")[1].split("##")[0]
        listed = {row.split("`")[1]: row.split("|")[2].strip() for row in part.splitlines() if "`" in row}
        assert listed == {key: " × ".join(map(str, value.shape)) for key, value in tensors.items()}


def check_model(at, name, model, binning, sizes):
    run(DEEP3M, "export", model, "--format", "onnx", "-o", at / f"{name}-onnx")
    for frames in (1, 3, 5):
        path = at / f"{name}-onnx" / f"{frames}fm.onnx"
        case(f"onnxruntime {name} {frames}fm", lambda: onnx_runs(model, path, frames, binning, sizes))


def main():
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        sizes = [(1, 1, 1), (2, 3, 5), (1, 16, 9)]
        # Trained, so that weights and statistics are of the usual kind.
        run(DEEP3M, "phantom", "-o", at / "p", "--shape", "6,96,128", "--seed", "3")
        run(DEEP3M, "train", at / "p/images.zarr", at / "p/mitochondria.zarr", "-o", at / "trained", "--frames", "1,3,5",
            "--width", "0.05", "--iterations", "60", "--batch", "1", "--patch", "64", "--binning", "1", "--device=cpu")
        check_model(at, "trained", at / "trained", 1, sizes)
        for name, width, binning, normalisation in [("binned", 0.1, 2, "range"), ("raw", 0.1, 1, "raw"), ("thirds", 0.05, 3, "raw")]:
            run(REFERENCE, "model", at / name, width, binning, normalisation)
            check_model(at, name, at / name, binning, sizes)

        for name, frames, out in [("trained", 1, "package"), ("binned", 3, "binned-package"), ("raw", 5, "raw.zip")]:
            run(DEEP3M, "export", at / name, "--format", "bioimageio", "--frames", frames, "-o", at / out)
            path = at / out if out.endswith(".zip") else at / out / "rdf.yaml"
            case(f"bioimageio.core {out} {frames}fm", lambda: package_passes(path))
        for out in ("package", "binned-package"):
            case(f"hashes of {out}", lambda: hashes_hold(at / out))
            case(f"tiles of {out}", lambda: tiles_are_the_whole(at / out))

        run(DEEP3M, "export", at / "trained", "--format", "safetensors", "-o", at / "weights")
        case("safetensors", lambda: weights_are_listed(at / "trained", at / "weights"))

    if FAILED:
        sys.exit(f"{len(FAILED)} failed: {FAILED}")
    print("all agree")


main()
