"""Checks Deep3M's volume formats against the programs of the field: zarr-python, tifffile, imageio (Pillow), TensorStore,
h5py, mrcfile.

    pip install zarr tifffile imageio imagecodecs numpy tensorstore h5py mrcfile
    cargo build -p deep3m-volume --example volume_copy
    python .ci/interop/volume_interop.py target/debug/examples/volume_copy

Every case is written by one side and read by the other, voxel for voxel, with the voxel size. Exits 1 at a difference.
"""

import gzip
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import imageio.v3 as iio
import mrcfile
import numcodecs
import numpy as np
import tensorstore
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


def image_of(path):
    """The group and what OME says of its image, in either version."""
    group = zarr.open_group(path, mode="r")
    return group, group.attrs.get("ome", group.attrs)["multiscales"][0]


def read_zarr(path):
    group, image = image_of(path)
    level = image["datasets"][0]
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


def writes(name, data, out, load, *form, size=(50.0, 4.6, 5.0)):
    """Deep3M writes what it read from an OME-Zarr; `load(path)` reads it with another program."""

    def check():
        with tempfile.TemporaryDirectory() as folder:
            source = ome_zarr(data, size)(Path(folder) / "in")
            target = Path(folder) / out
            copy(source, target, *form)
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

for data, fill in ((U8, 7), (U16, 40000), (I16, -5), (F32, -1.5), (F32, float("nan"))):
    lost = np.full_like(data, fill)
    lost[:4] = data[:4]
    for version in (2, 3):
        reads(f"zarr v{version} {data.dtype} filled with {fill}", plain_zarr(
            lost, chunks=(2, 30, 30), zarr_format=version, fill_value=fill, config={"write_empty_chunks": False}), lost, None)

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


# HDF5 from h5py.
def hdf5(data, libver="earliest", name="a/b/volume", attributes=(), base=0, fill=None, name_it=False, others=0, **more):
    """A file with one volume, and with other things around it that are none; from the oldest or the newest format."""

    def make(path):
        path = path.with_suffix(".h5")
        with h5py.File(path, "w", libver=libver, **({"userblock_size": base} if base else {})) as file:
            file.create_dataset("table", data=np.arange(12.0).reshape(3, 4))
            file["a/text"] = "no volume"
            for i in range(others):
                file[f"a/b/number {i}"] = i
            dataset = file.create_dataset(name, shape=data.shape, dtype=data.dtype, fillvalue=fill, **more)
            if fill is None:
                dataset[...] = data
            dataset.attrs["note"] = "beside the volume"
            for key, value in dict(attributes).items():
                dataset.attrs[key] = value
        return Path(f"{path}:/{name}") if name_it else path

    return make


IN_UM = {"element_size_um": [0.05, 0.0046, 0.005]}
IN_NM = {"resolution": [50.0, 4.6, 5.0]}
NATIVE = lambda data: data.astype(data.dtype.newbyteorder("="))
for libver in ("earliest", "v108", "v110", "latest"):
    for data in (U8, U16, U32, I16, F32, U16.astype(">u2"), I16.astype(">i2"), F32.astype(">f4")):
        reads(f"hdf5 {libver} {data.dtype} contiguous", hdf5(data, libver, attributes=IN_UM), NATIVE(data), SIZE)
        reads(f"hdf5 {libver} {data.dtype} chunked", hdf5(data, libver, chunks=(2, 16, 20), compression="gzip", shuffle=True), NATIVE(data), None)
    for name, more in {
        "uncompressed": {"chunks": (3, 32, 40)},
        "one chunk": {"chunks": U16.shape, "compression": "gzip"},
        "one chunk, uncompressed": {"chunks": U16.shape},
        "lzf": {"chunks": (3, 32, 40), "compression": "lzf"},
        "lzf and shuffle": {"chunks": (3, 32, 40), "compression": "lzf", "shuffle": True},
        "fletcher32": {"chunks": (3, 32, 40), "fletcher32": True},
        "all filters": {"chunks": (3, 32, 40), "fletcher32": True, "shuffle": True, "compression": "gzip", "compression_opts": 9},
        "automatic chunks": {"chunks": True, "compression": "gzip"},
        "small chunks": {"chunks": (1, 3, 5), "compression": "gzip"},
        "growing along z": {"chunks": (1, 16, 20), "maxshape": (None, 65, 93), "compression": "gzip"},
        "growing along x, small chunks": {"chunks": (1, 2, 2), "maxshape": (7, 65, None)},
        "growing along z and y": {"chunks": (2, 16, 20), "maxshape": (None, None, 93), "compression": "gzip"},
        "growing along all, small chunks": {"chunks": (1, 3, 3), "maxshape": (None, None, None)},
        "growing to a limit": {"chunks": (2, 16, 20), "maxshape": (20, 100, 100), "fletcher32": True},
    }.items():
        reads(f"hdf5 {libver} {name}", hdf5(U16, libver, **more), U16, None)
    reads(f"hdf5 {libver} many names", hdf5(U8, libver, others=300, name_it=True, attributes=IN_NM), U8, SIZE)
    many = {f"attribute {i}": i for i in range(40)}
    reads(f"hdf5 {libver} many attributes", hdf5(U8, libver, attributes={**many, **IN_NM}), U8, SIZE)
    reads(f"hdf5 {libver} user block", hdf5(U16, libver, base=2048, chunks=(2, 16, 20)), U16, None)
    reads(f"hdf5 {libver} never written", hdf5(np.full_like(U16, 300), libver, fill=300, chunks=(2, 16, 20)), np.full_like(U16, 300))
    reads(f"hdf5 {libver} never written, contiguous", hdf5(np.full_like(F32, 0.5), libver, fill=0.5), np.full_like(F32, 0.5))
reads("hdf5 more axes", hdf5(U8[None, None], chunks=(1, 1, 2, 16, 20)), U8)
reads("hdf5 channel behind", hdf5(U8[..., None], chunks=(2, 16, 20, 1), maxshape=(7, 65, 93, 4)), U8)
reads("hdf5 wide chunks behind", hdf5(U16[..., None], chunks=(2, 16, 20, 3), maxshape=(7, 65, 93, None), compression="gzip"), U16)
reads("hdf5 one section", hdf5(U8[0], name="section", name_it=True), U8[:1])
reads("hdf5 64-bit labels", hdf5(U16.astype(np.uint64), name="volumes/labels", name_it=True, chunks=(2, 16, 20)), U16.astype(np.uint32))
reads("hdf5 32-bit labels with sign", hdf5(U16.astype(np.int32)), U16.astype(np.uint32))
reads("hdf5 truth values", hdf5(bits), bits.astype(np.uint8))
reads("hdf5 signed bytes", hdf5((U8 // 2).astype(np.int8) - 50), (U8 // 2).astype(np.int16) - 50)
reads("hdf5 half precision", hdf5(F32.astype(np.float16)), F32.astype(np.float16).astype(np.float32))
reads("hdf5 double precision", hdf5(F32.astype(np.float64)), F32)
reads("hdf5 micrometres in 32 bits", hdf5(U8, attributes={"element_size_um": np.float32([0.05, 0.0046, 0.005])}), U8, SIZE)
reads("hdf5 whole nanometres", hdf5(U8, attributes={"resolution": [40, 4, 4]}), U8, (40.0, 4.0, 4.0))
reads("hdf5 voxel_size", hdf5(U8, attributes={"voxel_size": [40, 4, 4]}), U8, (40.0, 4.0, 4.0))


def compact(libver):
    def make(path):
        path = path.with_suffix(".h5")
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.COMPACT)
        with h5py.File(path, "w", libver=libver) as file:
            small = U16[:3, :21, :34].copy()
            space = h5py.h5s.create_simple(small.shape)
            dataset = h5py.h5d.create(file.id, b"small", h5py.h5t.NATIVE_UINT16, space, plist)
            dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, small)
        return path

    return make


def linked(path):
    path = path.with_suffix(".h5")
    with h5py.File(path, "w") as file:
        file["data/volume"] = U8
        file["again"] = file["data/volume"]
        file["soft"] = h5py.SoftLink("/data/volume")
    return Path(f"{path}:/soft")


for libver in ("earliest", "latest"):
    reads(f"hdf5 {libver} compact", compact(libver), U16[:3, :21, :34])
reads("hdf5 soft link", linked, U8)
for ending in ("hdf5", "hdf", "H5"):
    reads(f"hdf5 .{ending}", lambda path, ending=ending: hdf5(U8)(path).rename(path.with_suffix("." + ending)), U8)


def refuses(name, make, *words):
    """Deep3M must say why it does not read what `make` writes."""

    def check():
        with tempfile.TemporaryDirectory() as folder:
            path = make(Path(folder) / "in")
            try:
                copy(path, Path(folder) / "out.zarr")
            except RuntimeError as error:
                missing = [word for word in (str(path), *words) if word not in str(error)]
                assert not missing, (missing, str(error))
            else:
                raise AssertionError("read all the same")

    case("refuses " + name, check)


def external(path):
    path = path.with_suffix(".h5")
    with h5py.File(path, "w") as file:
        file["elsewhere"] = h5py.ExternalLink("other.h5", "/volume")
        file.create_dataset("outside", shape=U8.shape, dtype="u1", external=[(str(path) + ".raw", 0, U8.nbytes)])
        layout = h5py.VirtualLayout(shape=U8.shape, dtype="u1")
        layout[...] = h5py.VirtualSource("other.h5", "volume", shape=U8.shape)
        file.create_virtual_dataset("virtual", layout)
    return path


for name, word in {"elsewhere": "link into another file", "outside": "in other files", "virtual": "virtual"}.items():
    refuses(f"hdf5 {name}", lambda path, name=name: Path(f"{external(path)}:/{name}"), word)


def two(path):
    path = path.with_suffix(".h5")
    with h5py.File(path, "w") as file:
        file["raw"], file["labels/neurons"] = U8, U32
    return path


refuses("hdf5 two volumes", two, "/labels/neurons (7 × 65 × 93), /raw (7 × 65 × 93)", "vol.h5:/group/dataset")
refuses("hdf5 no such name", lambda path: Path(f"{two(path)}:/labels/neuron"), "no 'neuron'; there is neurons")
refuses("hdf5 scale-offset", hdf5(U16, chunks=(2, 16, 20), scaleoffset=0, name_it=True), "filter 6 (scale-offset)")
refuses("hdf5 channels", hdf5(np.stack([U8, U8]), name_it=True), "2 × 7 × 65 × 93")
refuses("hdf5 large labels", hdf5(np.full(U8.shape, 2**64 - 1, np.uint64)), "18446744073709551615", "section 0")


# MRC from mrcfile.
def mrc(data, size=SIZE, extended=None, stamp=None):
    def make(path):
        path = path.with_suffix(".mrc")
        with mrcfile.new(path) as file:
            file.set_data(data)
            if size:
                file.voxel_size = tuple(10 * s for s in size[::-1])
            if extended:
                file.set_extended_header(np.arange(extended, dtype=np.uint8))
        if stamp is not None:
            # IMOD's fields: its stamp, and whether bytes have a sign.
            raw = bytearray(path.read_bytes())
            raw[152:160] = np.array([1146047817, stamp], "<i4").tobytes()
            path.write_bytes(raw)
        return path

    return make


for data in (U16, I16, F32):
    reads(f"mrc {data.dtype}", mrc(data), data, SIZE)
reads("mrc float16", mrc(F32.astype(np.float16)), F32.astype(np.float16).astype(np.float32), SIZE)
signed = (U8.astype(np.int16) - 128).astype(np.int8)
reads("mrc int8", mrc(signed), signed.astype(np.int16), SIZE)
reads("mrc bytes of IMOD", mrc(signed, stamp=0), signed.view(np.uint8), SIZE)
reads("mrc bytes of IMOD with sign", mrc(signed, stamp=1), signed.astype(np.int16), SIZE)
reads("mrc extended header", mrc(I16, extended=777), I16, SIZE)
reads("mrc without voxel size", mrc(I16, None), I16, None)
for ending in ("rec", "st", "map", "ali"):
    reads(f"mrc .{ending}", lambda path, ending=ending: mrc(U16)(path).rename(path.with_suffix("." + ending)), U16, SIZE)
refuses("mrc complex", mrc(F32.astype(np.complex64)), "mode 4 (complex numbers)")


def big_endian(path):
    """As an old SGI wrote it: every field and every voxel turned round."""
    path = mrc(F32)(path)
    with mrcfile.open(path) as file:
        header = file.header.copy()
    header = header.astype(header.dtype.newbyteorder(">"))
    header["machst"] = [0x11, 0x11, 0, 0]
    path.write_bytes(header.tobytes() + F32.astype(">f4").tobytes())
    mrcfile.read(path)  # it is one
    return path


reads("mrc big-endian", big_endian, F32, SIZE)


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
def read_hdf5(name):
    def read(path):
        with h5py.File(str(path).split(":")[0]) as file:
            dataset = file[name]
            np.testing.assert_allclose(dataset.attrs["resolution"], dataset.attrs["element_size_um"] * 1e3, rtol=1e-12)
            return dataset[...], dataset.attrs["resolution"]

    return read


def read_mrc(path):
    assert mrcfile.validate(path, print_file=io.StringIO())
    with mrcfile.open(path) as file:
        header, data = file.header, file.data
        for found, expected in [(header.dmin, data.min()), (header.dmax, data.max()), (header.dmean, data.mean(dtype=float)), (header.rms, data.std(dtype=float))]:
            np.testing.assert_allclose(found, expected, rtol=1e-5)
        return data.copy(), [float(file.voxel_size[axis]) / 10 for axis in "zyx"]


for data in (U8, U16, U32, I16, F32, np.zeros_like(U16), volume(np.uint8, (70, 300, 400)), volume(np.uint16, (40, 500, 900))):
    for out, name in {"out.h5": "volume", "out.hdf5:/a/b/c": "a/b/c"}.items():
        writes(f"hdf5 {data.dtype} {data.shape} {out}", data, out, read_hdf5(name))
for data in (U16, I16, F32):
    writes(f"mrc {data.dtype}", data, "out.mrc", read_mrc)


def eight_bits():
    with tempfile.TemporaryDirectory() as folder:
        source = ome_zarr(U8, SIZE)(Path(folder) / "in")
        copy(source, Path(folder) / "out.rec")
        found, _ = read_mrc(Path(folder) / "out.rec")
        assert found.dtype == np.uint16
        np.testing.assert_array_equal(found, U8)


case("writes mrc uint8 as uint16", eight_bits)
for data in (U8, U16):
    writes(f"png folder {data.dtype}", data, "out", read_folder("*.png", iio.imread))

# OME-Zarr as other programs want it.
def read_zarr_04(path):
    group, image = image_of(path)
    assert group.metadata.zarr_format == 2 and image["version"] == "0.4", (group.metadata, image)
    return read_zarr(path)


def read_sharded(path):
    group, _ = image_of(path)
    assert group["0"].shards is not None and group["0"].chunks == (4, 32, 32), group["0"].metadata
    return read_zarr(path)


for data in (U8, U16, U32, I16, F32):
    writes(f"ome-zarr 0.4 {data.dtype}", data, "out.zarr", read_zarr_04, "ome-zarr-04")
    writes(f"ome-zarr sharded {data.dtype}", data, "out.zarr", read_sharded, "ome-zarr-sharded")


# Neuroglancer precomputed.
def precomputed(data, size=SIZE, encoding="raw", offset=(0, 0, 0), sharding=None, compress=False, chunk=(16, 24, 2), **more):
    def make(path):
        scale = {"size": data.shape[::-1], "resolution": size[::-1], "chunk_size": chunk, "encoding": encoding,
                 "voxel_offset": offset, **more}
        if sharding:
            scale["sharding"] = {"@type": "neuroglancer_uint64_sharded_v1", **sharding}
        kind = "segmentation" if encoding == "compressed_segmentation" else "image"
        store = tensorstore.open({
            "driver": "neuroglancer_precomputed", "kvstore": {"driver": "file", "path": str(path)}, "create": True,
            "multiscale_metadata": {"data_type": data.dtype.name, "num_channels": 1, "type": kind}, "scale_metadata": scale,
        }).result()
        store[...] = data.transpose()[..., None]
        if compress:
            # As CloudVolume writes to a folder.
            for file in path.glob("*_*_*/*"):
                file.with_name(file.name + ".gz").write_bytes(gzip.compress(file.read_bytes()))
                file.unlink()
        return path

    return make


def read_precomputed(path, scale=0):
    store = tensorstore.open({
        "driver": "neuroglancer_precomputed", "kvstore": {"driver": "file", "path": str(path)}, "scale_index": scale,
    }).result()
    size = [unit.multiplier for unit in store.dimension_units[:3]]
    return store.read().result()[..., 0].transpose(), size[::-1]


for data in (U8, U16, U32, I16, F32):
    reads(f"precomputed {data.dtype}", precomputed(data), data, SIZE)
    writes(f"precomputed {data.dtype}", data, "out.precomputed", read_precomputed)
reads("precomputed with an offset", precomputed(U16, offset=(-70, 5, 1000)), U16, SIZE)
reads("precomputed .gz", precomputed(U16, compress=True), U16, SIZE)
# Few labels in a block, as segmentations have them, and as many as voxels.
OBJECTS = (np.indices(U32.shape) // [[[[3]]], [[[11]]], [[[9]]]]).sum(axis=0).astype(np.uint32) * 7001
for name, data in (("objects", OBJECTS), ("noise", U32)):
    for block in ((8, 8, 8), (3, 16, 5), (64, 64, 64)):
        for dtype in (np.uint32, np.uint64):
            reads(f"precomputed compressed_segmentation {name} {block} {np.dtype(dtype).name}",
                  precomputed(data.astype(dtype), encoding="compressed_segmentation",
                              compressed_segmentation_block_size=block), data, SIZE)
reads("precomputed raw uint64", precomputed(OBJECTS.astype(np.uint64)), OBJECTS, SIZE)
writes("precomputed objects", OBJECTS, "out.precomputed", read_precomputed)
for shape in ((1, 7), (3, 2), (2, 0)):
    for digest in ("identity", "murmurhash3_x86_128"):
        for coding in ("raw", "gzip"):
            sharding = {"preshift_bits": shape[0] - 1, "hash": digest, "minishard_bits": shape[0], "shard_bits": shape[1],
                        "minishard_index_encoding": coding, "data_encoding": coding}
            name = f"precomputed sharded {shape} {digest} {coding}"
            reads(name, precomputed(U8, sharding=sharding), U8, SIZE)
            reads(name + " labels", precomputed(OBJECTS, encoding="compressed_segmentation", sharding=sharding,
                                                compressed_segmentation_block_size=(8, 8, 8), offset=(3, 4, 5)), OBJECTS, SIZE)


# Levels: their voxels are those that TensorStore makes, and lie where the metadata say.
def downsampled(data, window, method):
    # TensorStore sums float32 as float32; in float64 the mean is exact.
    exact = data.astype(np.float64) if data.dtype == np.float32 else data
    return tensorstore.downsample(tensorstore.array(exact), list(window), method).read().result().astype(data.dtype)


def zarr_levels(path):
    group, image = image_of(path)
    for level in image["datasets"]:
        scale, *translation = level["coordinateTransformations"]
        moved = translation[0]["translation"] if translation else [0.0] * 3
        yield group[level["path"]][:], scale["scale"], moved


def precomputed_levels(path):
    for number in range(len(json.loads((path / "info").read_text())["scales"])):
        data, size = read_precomputed(path, number)
        yield data, size, None


def pyramid(name, data, out, load, form, method):
    def check():
        with tempfile.TemporaryDirectory() as folder:
            source, target = ome_zarr(data, SIZE)(Path(folder) / "in"), Path(folder) / out
            copy(source, target, form, method)
            levels = list(load(target))
            assert len(levels) > 3, len(levels)
            np.testing.assert_array_equal(levels[0][0], data)
            for (finer, fine_size, _), (coarser, size, moved) in zip(levels, levels[1:]):
                window = [round(b / a) for a, b in zip(fine_size, size)]
                assert set(window) <= {1, 2} and max(window) == 2, window
                np.testing.assert_array_equal(coarser, downsampled(finer, window, method))
                if moved is not None:
                    np.testing.assert_allclose(moved, [(s - f) / 2 for f, s in zip(SIZE, size)])

    case(f"levels {name} {data.dtype} {method}", check)


for data, method in ((U8, "mean"), (U16, "mean"), (I16, "mean"), (F32, "mean"), (U32, "mean"), (OBJECTS, "mode"), (U8 // 64, "mode")):
    for form in ("ome-zarr", "ome-zarr-04", "ome-zarr-sharded"):
        pyramid(form, data, "out.zarr", zarr_levels, form, method)
    pyramid("precomputed", data, "out.precomputed", precomputed_levels, "precomputed", method)

if FAILED:
    sys.exit(f"{len(FAILED)} failed: {FAILED}")
print("all agree")
