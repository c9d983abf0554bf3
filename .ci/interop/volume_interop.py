"""Checks Deep3M's volume formats against the programs of the field: zarr-python, tifffile, imageio (Pillow).

    pip install zarr tifffile imageio imagecodecs numpy
    cargo build -p deep3m-volume --example volume_copy
    python .ci/interop/volume_interop.py target/debug/examples/volume_copy

Every case is written by one side and read by the other, voxel for voxel, with the voxel size. Exits 1 at a difference.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import imageio.v3 as iio
import numcodecs
import numpy as np
import tifffile
import zarr
from zarr.codecs import BloscCodec, BytesCodec, GzipCodec, ZstdCodec

BINARY = str(Path(sys.argv[1]).resolve())
FAILED = []


def copy(source, *rest):
    """Runs volume_copy; the input's information."""
    done = subprocess.run([BINARY, str(source), *map(str, rest)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return json.loads(done.stdout)


def case(name, check):
    try:
        check()
        print(f"ok      {name}")
    except Exception as error:  # every kind of failure is a difference to report
        FAILED.append(name)
        print(f"FAILED  {name}: {error!r}")


def volume(dtype, shape=(7, 65, 93), seed=1):
    """Smooth values with noise, so that compression and predictors have work, over the whole range of the type."""
    random = np.random.default_rng(seed)
    info = np.finfo(dtype) if np.issubdtype(dtype, np.floating) else np.iinfo(dtype)
    low, high = (-1.0, 1e4) if info.dtype == np.float32 else (float(info.min), float(info.max))
    z, y, x = np.indices(shape)
    smooth = (np.sin(z / 2) + np.sin(y / 9) + np.sin(x / 11) + 3) / 6 * 0.9
    return ((smooth + random.random(shape) * 0.1) * (high - low) + low).astype(dtype)


def voxel(info):
    size = info["voxel_size"]
    return size and (size["z_nm"], size["y_nm"], size["x_nm"])


def read_zarr(path):
    group = zarr.open_group(path, mode="r")
    level = group.attrs["ome"]["multiscales"][0]["datasets"][0]
    return group[level["path"]][:], level["coordinateTransformations"][0]["scale"]


def reads(name, make, expected, size="any"):
    """`make(path without ending)` writes a file with another program and returns its path; Deep3M must read it."""

    def check():
        with tempfile.TemporaryDirectory() as folder:
            path = make(Path(folder) / "in")
            info = copy(path, Path(folder) / "out.zarr")
            found, _ = read_zarr(Path(folder) / "out.zarr")
            assert found.dtype == expected.dtype, (found.dtype, expected.dtype)
            np.testing.assert_array_equal(found, expected)
            if size != "any":
                assert voxel(info) == size, (voxel(info), size)

    case("reads  " + name, check)


def writes(name, data, out, load, form=None, size=(50.0, 4.6, 5.0)):
    """Deep3M writes what it read from an OME-Zarr; `load(path)` reads it with another program."""

    def check():
        with tempfile.TemporaryDirectory() as folder:
            source = ome_zarr(data, size)(Path(folder) / "in")
            target = Path(folder) / out
            copy(source, target, *([form] if form else []))
            found, found_size = load(target)
            assert found.dtype == data.dtype, (found.dtype, data.dtype)
            np.testing.assert_array_equal(found, data)
            if found_size is not None:
                np.testing.assert_allclose(found_size, size, rtol=1e-9)
            assert voxel(copy(target)) == size, voxel(copy(target))

    case("writes " + name, check)


def ome_zarr(data, size, unit="nanometer", factor=1.0, chunks=(3, 32, 40), shards=None, compressors="auto", **more):
    def make(path):
        path = path.with_suffix(".zarr")
        group = zarr.create_group(path, zarr_format=3)
        leading = data.ndim - 3
        array = group.create_array(
            "s0", shape=data.shape, dtype=data.dtype, chunks=(1,) * leading + chunks,
            shards=shards and (1,) * leading + shards, compressors=compressors, **more,
        )
        array[...] = data
        axes = [{"name": n, "type": t} for n, t in [("t", "time"), ("c", "channel")][2 - leading:]]
        axes += [{"name": n, "type": "space", "unit": unit} for n in "zyx"]
        scale = [1.0] * leading + [s * factor for s in size]
        group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [
            {"path": "s0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}]}]}
        return path

    return make


def ome_zarr_04(data, size, **more):
    def make(path):
        path = path.with_suffix(".zarr")
        group = zarr.create_group(path, zarr_format=2)
        array = group.create_array("0", shape=data.shape, dtype=data.dtype, **more)
        array[...] = data
        axes = [{"name": n, "type": "space", "unit": "nanometer"} for n in "zyx"]
        group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [
            {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": list(size)}]}]}]
        return path

    return make


def plain_zarr(data, **more):
    def make(path):
        zarr.create_array(path.with_suffix(".zarr"), data=data, **{"zarr_format": 3, **more})
        return path.with_suffix(".zarr")

    return make


def tiff(data, **more):
    def make(path):
        tifffile.imwrite(path.with_suffix(".tif"), data, **more)
        return path.with_suffix(".tif")

    return make


def folder(data, ending, write):
    def make(path):
        path.mkdir()
        for z, section in enumerate(data):
            write(path / f"s{z + 5}.{ending}", section)  # s5 … s11: natural order matters
        (path / "notes.txt").write_text("not a slice")
        return path

    return make


SIZE = (50.0, 4.6, 5.0)
U8, U16, U32, I16, F32 = (volume(t) for t in (np.uint8, np.uint16, np.uint32, np.int16, np.float32))

# Zarr v3 from zarr-python.
for data in (U8, U16, U32, I16, F32):
    reads(f"ome-zarr {data.dtype}", ome_zarr(data, SIZE), data, SIZE)
reads("ome-zarr in micrometres", ome_zarr(U8, SIZE, "micrometer", 1e-3), U8, SIZE)
reads("ome-zarr in angstrom", ome_zarr(U8, SIZE, "angstrom", 10.0), U8, SIZE)
reads("ome-zarr with t and c", ome_zarr(U16[None, None], SIZE), U16, SIZE)
reads("ome-zarr sharded", ome_zarr(U16, SIZE, chunks=(2, 16, 20), shards=(4, 32, 40)), U16, SIZE)
reads("ome-zarr sharded with t and c", ome_zarr(U16[None, None], SIZE, chunks=(2, 16, 20), shards=(4, 32, 40)), U16, SIZE)
for compressor in (BloscCodec(cname="zstd", shuffle="bitshuffle"), BloscCodec(cname="lz4"), ZstdCodec(level=3), GzipCodec()):
    reads(f"ome-zarr {compressor}", ome_zarr(U16, SIZE, compressors=compressor), U16, SIZE)
reads("ome-zarr uncompressed", ome_zarr(U16, SIZE, compressors=None), U16, SIZE)
reads("ome-zarr big-endian", ome_zarr(U16, SIZE, serializer=BytesCodec(endian="big")), U16, SIZE)
reads("zarr array", plain_zarr(U16, chunks=(4, 30, 30)), U16, None)
sparse = np.zeros_like(U8)
sparse[3, 20:30, 40:60] = 9
reads("zarr array with empty chunks", plain_zarr(sparse, chunks=(2, 16, 16), config={"write_empty_chunks": False}), sparse)
reads("zarr array with fill value", plain_zarr(np.full_like(U8, 7), chunks=(2, 16, 16), fill_value=7,
      config={"write_empty_chunks": False}), np.full_like(U8, 7))

# Zarr v2.
for separator in "./":
    encoding = {"name": "v2", "separator": separator}
    reads(f"ome-zarr 0.4 {separator}", ome_zarr_04(U16, SIZE, chunks=(3, 32, 40), chunk_key_encoding=encoding), U16, SIZE)
for compressor in (None, numcodecs.Blosc("lz4"), numcodecs.Blosc("zstd", shuffle=2), numcodecs.Zstd(3), numcodecs.GZip(3)):
    reads(f"ome-zarr 0.4 {compressor}", ome_zarr_04(U16, SIZE, chunks=(3, 32, 40), compressors=compressor), U16, SIZE)
for order in "CF":
    for data in (U8, U16.astype(">u2"), U32.astype("<u4"), I16.astype(">i2"), F32.astype("<f4")):
        made = plain_zarr(data, chunks=(4, 30, 30), zarr_format=2, order=order)
        reads(f"zarr v2 {data.dtype} {order}", made, data.astype(data.dtype.newbyteorder("=")), None)

# TIFF from tifffile.
for data in (U8, U16, U32, I16, F32):
    for order in "<>":
        reads(f"tiff {data.dtype} {order}", tiff(data, byteorder=order), data, None)
for big in (False, True):
    for compression in ("lzw", "deflate", "packbits", "zstd"):
        for predictor in (False, True):
            if compression == "packbits" and predictor:
                continue
            for order in "<>":
                for layout in ({"rowsperstrip": 7}, {"tile": (16, 32)}):
                    name = f"tiff {'big ' if big else ''}{compression}{' predictor' if predictor else ''} {order} {layout}"
                    reads(name, tiff(U16, bigtiff=big, compression=compression, predictor=predictor, byteorder=order,
                                     metadata=None, **layout), U16)
reads("tiff u8 tiles with predictor", tiff(U8, compression="deflate", predictor=True, tile=(32, 32)), U8)
reads("tiff u32 strips with predictor", tiff(U32, compression="deflate", predictor=True, rowsperstrip=9), U32)
reads("tiff i16 strips with predictor", tiff(I16, compression="deflate", predictor=True, rowsperstrip=9), I16)
for order in "<>":
    reads(f"tiff f32 predictor {order}", tiff(F32, compression="deflate", predictor=True, tile=(32, 32), byteorder=order), F32)
reads("tiff uncompressed predictor", tiff(U16, tile=(32, 48)), U16)
reads("tiff one row per strip", tiff(U8, rowsperstrip=1, metadata=None), U8)
bits = (U8 > 128)
reads("tiff 1 bit", tiff(bits, photometric="minisblack"), bits.astype(np.uint8))
reads("tiff white is zero", tiff(U8, photometric="miniswhite"), 255 - U8)
reads("tiff white is zero u16", tiff(U16, photometric="miniswhite"), 65535 - U16)
colours = np.random.default_rng(3).integers(0, 65535, (3, 256)).astype(np.uint16)
reads("tiff palette of labels", tiff(U8, photometric="palette", colormap=colours), U8)
ramp = np.tile((255 - np.arange(256)) * 257, (3, 1)).astype(np.uint16)
reads("tiff palette of greys", tiff(U8, photometric="palette", colormap=ramp), 255 - U8)
imagej = {"imagej": True, "resolution": (1e3 / 5.0, 1e3 / 4.6), "metadata": {"axes": "ZYX", "spacing": 0.05, "unit": "um"}}
for data in (U8, U16):
    reads(f"tiff ImageJ {data.dtype}", tiff(data, **imagej), data, SIZE)
imagej["metadata"] = {**imagej["metadata"], "unit": "nm", "spacing": 50.0}
reads("tiff ImageJ in nm", tiff(U8, **{**imagej, "resolution": (1 / 5.0, 1 / 4.6)}), U8, SIZE)
ome = {"ome": True, "metadata": {"axes": "ZYX", "PhysicalSizeZ": 0.05, "PhysicalSizeZUnit": "µm", "PhysicalSizeY": 4.6,
                                 "PhysicalSizeYUnit": "nm", "PhysicalSizeX": 50.0, "PhysicalSizeXUnit": "Å"}}
reads("tiff OME", tiff(U16, **ome), U16, SIZE)
reads("tiff OME BigTIFF tiled", tiff(U16, bigtiff=True, tile=(32, 32), compression="zlib", **ome), U16, SIZE)


def first_page_only(path):
    """ImageJ's layout beyond 4 GB: one directory, the other sections' pixels after the first's."""
    path = path.with_suffix(".tif")
    description = f"ImageJ=1.53t\nimages={len(U16)}\nslices={len(U16)}\nunit=um\nspacing=0.05\nloop=false\n"
    tifffile.imwrite(path, U16[0].astype(">u2"), byteorder=">", description=description, metadata=None,
                     resolution=(1e3 / 5.0, 1e3 / 4.6), resolutionunit=1)
    with open(path, "r+b") as file:
        with tifffile.TiffFile(path) as tif:
            offset, size = tif.pages[0].dataoffsets[0], U16[0].nbytes
        file.truncate(offset + size)
        file.seek(offset + size)
        file.write(U16[1:].astype(">u2").tobytes())
    return path


reads("tiff ImageJ with one directory", first_page_only, U16, SIZE)


def pages_of_a_pyramid(path):
    path = path.with_suffix(".tif")
    with tifffile.TiffWriter(path) as tif:
        for section in U8:
            tif.write(section, metadata=None)
            tif.write(section[::4, ::4], subfiletype=1, metadata=None)
    return path


reads("tiff with thumbnails", pages_of_a_pyramid, U8)

# Folders.
reads("png folder u8", folder(U8, "png", iio.imwrite), U8, None)
reads("png folder u16", folder(U16, "PNG", iio.imwrite), U16)
reads("png file", lambda path: (iio.imwrite(path.with_suffix(".png"), U16[0]), path.with_suffix(".png"))[1], U16[:1])
reads("tiff folder", folder(U16, "tif", lambda p, s: tifffile.imwrite(p, s, compression="lzw")), U16)


def palette(path, section, colours):
    from PIL import Image

    image = Image.fromarray(section, "P")
    image.putpalette(colours.astype(np.uint8).ravel().tolist())
    image.save(path)


labels = (U8 // 64).astype(np.uint8)
reads("png palette of labels", folder(labels, "png", lambda p, s: palette(p, s, colours.T // 256)), labels)
reads("png palette of greys", folder(labels, "png", lambda p, s: palette(p, s, np.tile([[0], [85], [170], [255]], 3))), labels * 85)
reads("png 1 bit", folder(bits, "png", lambda p, s: __import__("PIL.Image").Image.fromarray(s).save(p)), bits.astype(np.uint8))


def read_tiff(path):
    with tifffile.TiffFile(path) as tif:
        assert tif.is_imagej and tif.imagej_metadata["unit"] == "micron", tif.imagej_metadata
        y, x = (tif.pages[0].tags[f"{a}Resolution"].value for a in "YX")
        size = (tif.imagej_metadata["spacing"] * 1e3, 1e3 * y[1] / y[0], 1e3 * x[1] / x[0])
        return tif.asarray(), size


def read_folder(pattern, read):
    return lambda path: (np.stack([read(p) for p in sorted(path.glob(pattern))]), None)


for data in (U8, U16, U32, I16, F32):
    writes(f"ome-zarr {data.dtype}", data, "out.zarr", read_zarr)
    writes(f"tiff stack {data.dtype}", data, "out.tif", read_tiff)
    writes(f"tiff folder {data.dtype}", data, "out", read_folder("*.tif", tifffile.imread), "tiff-folder")
for data in (U8, U16):
    writes(f"png folder {data.dtype}", data, "out", read_folder("*.png", iio.imread))

if FAILED:
    sys.exit(f"{len(FAILED)} failed: {FAILED}")
print("all agree")
