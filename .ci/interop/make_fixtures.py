"""Makes crates/volume/tests/fixtures: small files as other programs write them.

    pip install zarr tifffile imagecodecs pypng pillow numpy tensorstore h5py mrcfile
    python .ci/interop/make_fixtures.py crates/volume/tests/fixtures

Voxel (z, y, x) is (37 z + 11 y + 5 x) mod 251, times 257 in 16 bits; `crates/volume/tests/fixtures.rs` computes the same.
"""

import gzip
import shutil
import sys
from pathlib import Path

import h5py
import mrcfile
import numpy as np
import png
import tensorstore
import tifffile
import zarr
from PIL import Image
from zarr.codecs import BloscCodec, ZstdCodec

OUT = Path(sys.argv[1])
shutil.rmtree(OUT, ignore_errors=True)
OUT.mkdir(parents=True)
z, y, x = np.indices((3, 21, 34))
U8 = ((37 * z + 11 * y + 5 * x) % 251).astype(np.uint8)
U16 = U8.astype(np.uint16) * 257

# TIFF.
def write(name, data, **more):
    # Three sections would be taken for three colours.
    tifffile.imwrite(OUT / name, data, **{"photometric": "minisblack", **more})


write("big-endian-bigtiff-tiles-lzw.tif", U16, bigtiff=True, byteorder=">", tile=(16, 16), compression="lzw", predictor=True, metadata=None)
write("strips-zstd.tif", U16, rowsperstrip=5, compression="zstd", metadata=None)
write("strips-packbits.tif", U8, rowsperstrip=4, compression="packbits", metadata=None)
write("tiles-deflate.tif", U8, tile=(16, 16), compression="zlib", predictor=True, metadata=None)
write("ome.ome.tif", U8, ome=True, metadata={
    "axes": "ZYX", "PhysicalSizeZ": 0.05, "PhysicalSizeZUnit": "µm", "PhysicalSizeY": 4.6, "PhysicalSizeYUnit": "nm",
    "PhysicalSizeX": 50.0, "PhysicalSizeXUnit": "Å"})
write("white-is-zero.tif", 255 - U8, photometric="miniswhite", metadata=None)
write("one-bit.tif", U8 > 125, photometric="minisblack", metadata=None)
labels = np.random.default_rng(3).integers(0, 65535, (3, 256)).astype(np.uint16)
write("palette-labels.tif", U8, photometric="palette", colormap=labels, metadata=None)
ramp = np.tile((255 - np.arange(256)) * 257, (3, 1)).astype(np.uint16)
write("palette-greys.tif", 255 - U8, photometric="palette", colormap=ramp, metadata=None)
description = "ImageJ=1.53t\nimages=3\nslices=3\nunit=\\u00B5m\nspacing=0.05\nloop=false\n"
write("imagej-one-directory.tif", U16[0].astype(">u2"), byteorder=">", description=description, metadata=None,
      resolution=(200.0, 1e3 / 4.6), resolutionunit=1)
with open(OUT / "imagej-one-directory.tif", "r+b") as file:
    with tifffile.TiffFile(OUT / "imagej-one-directory.tif") as tif:
        end = tif.pages[0].dataoffsets[0] + U16[0].nbytes
    file.truncate(end)
    file.seek(end)
    file.write(U16[1:].astype(">u2").tobytes())
write("colour.tif", np.zeros((5, 6, 3), np.uint8), photometric="rgb", metadata=None)
write("float-predictor-tiles.tif", U8.astype(np.float32), tile=(16, 16), compression="zlib", predictor=True, metadata=None)
write("signed-big-endian.tif", U8.astype(">i2"), byteorder=">", compression="lzw", predictor=True, rowsperstrip=6, metadata=None)
write("half.tif", np.zeros((5, 6), np.float16), metadata=None)
write("signed-bytes.tif", np.zeros((5, 6), np.int8), metadata=None)
write("jpeg.tif", np.zeros((16, 16), np.uint8), compression="jpeg", metadata=None)
write("two-channels.tif", np.zeros((3, 2, 5, 6), np.uint8), imagej=True, metadata={"axes": "ZCYX"})
with tifffile.TiffWriter(OUT / "pages-differ.tif") as tif:
    tif.write(U8[0], metadata=None)
    tif.write(U8[1, :20], metadata=None)

# PNG: `pypng` writes what Pillow does not.
def slices(name, bits, values, **more):
    (OUT / name).mkdir()
    for i, section in enumerate(values):
        with open(OUT / name / f"s{9 + i}.png", "wb") as file:
            png.Writer(values.shape[2], values.shape[1], bitdepth=bits, **more).write(file, section.tolist())


slices("png-interlaced", 8, U8, greyscale=True, interlace=True)
slices("png-interlaced-16", 16, U16, greyscale=True, interlace=True)
slices("png-2-bits", 2, U8 % 4, greyscale=True)
slices("png-4-bits-interlaced", 4, U8 % 16, greyscale=True, interlace=True)
colours = [(i, 255 - i, 7) for i in range(16)]
slices("png-palette-labels", 4, U8 % 16, palette=colours)
slices("png-palette-greys", 4, U8 % 16, palette=[(i * 17,) * 3 for i in range(16)])
for name, alpha in (("png-opaque", 255), ("png-transparent", 254)):
    (OUT / name).mkdir()
    for i, section in enumerate(U8):
        Image.fromarray(np.dstack([section, np.full_like(section, alpha)]), "LA").save(OUT / name / f"s{9 + i}.png")
Image.fromarray(np.zeros((5, 6, 3), np.uint8)).save(OUT / "colour.png")


def image(name, data, size, unit, **more):
    group = zarr.create_group(OUT / name, zarr_format=3)
    leading = data.ndim - 3
    ones = (1,) * leading
    more = {key: ones + value if key in ("chunks", "shards") else value for key, value in more.items()}
    array = group.create_array("0", shape=data.shape, dtype=data.dtype, **more)
    array[...] = data
    axes = [{"name": n, "type": t} for n, t in [("t", "time"), ("c", "channel")][2 - leading:]]
    axes += [{"name": n, "type": "space", "unit": unit} for n in "zyx"]
    scale = [1.0] * leading + size
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [
        {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}]}]}


# Zarr v3.
image("sharded.zarr", U16, [0.05, 0.0046, 0.005], "micrometer", chunks=(1, 11, 17), shards=(2, 22, 34), compressors=ZstdCodec())
image("five-axes-blosc.zarr", U8[None, None], [50.0, 4.6, 5.0], "nanometer", chunks=(2, 16, 34), compressors=BloscCodec())
zarr.create_array(OUT / "plain.zarr", data=U8, chunks=(2, 16, 34), zarr_format=3)

# Zarr v2, as OME-Zarr 0.4 has it.
group = zarr.create_group(OUT / "version-04.zarr", zarr_format=2)
array = group.create_array("0", shape=U16.shape, dtype=U16.dtype, chunks=(2, 16, 34), chunk_key_encoding={"name": "v2", "separator": "/"})
array[...] = U16
group.attrs["multiscales"] = [{"version": "0.4", "axes": [{"name": n, "type": "space", "unit": "nanometer"} for n in "zyx"],
                               "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [50.0, 4.6, 5.0]}]}]}]
zarr.create_array(OUT / "version-2-columns-first.zarr", data=U16.astype(">u2"), chunks=(3, 21, 34), zarr_format=2, order="F")


def precomputed(name, data, sharding=None, encoding="raw", voxel_offset=(0, 0, 0), **more):
    """Neuroglancer precomputed, as TensorStore writes it."""
    scale = {"size": data.shape[::-1], "resolution": [5, 4.6, 50], "chunk_size": [16, 16, 2], "encoding": encoding,
             "voxel_offset": voxel_offset, **more}
    if sharding:
        scale["sharding"] = {"@type": "neuroglancer_uint64_sharded_v1", **sharding}
    kind = "segmentation" if encoding == "compressed_segmentation" else "image"
    store = tensorstore.open({
        "driver": "neuroglancer_precomputed", "kvstore": {"driver": "file", "path": str(OUT / name)}, "create": True,
        "multiscale_metadata": {"data_type": data.dtype.name, "num_channels": 1, "type": kind}, "scale_metadata": scale,
    }).result()
    store[...] = data.transpose()[..., None]


precomputed("precomputed-sharded", U8.astype(np.uint64), encoding="compressed_segmentation",
            compressed_segmentation_block_size=[8, 8, 2], sharding={
                "preshift_bits": 1, "hash": "murmurhash3_x86_128", "minishard_bits": 2, "shard_bits": 2,
                "minishard_index_encoding": "gzip", "data_encoding": "gzip"})
precomputed("precomputed-sharded-raw", U16, sharding={"preshift_bits": 0, "hash": "identity", "minishard_bits": 1, "shard_bits": 1})
precomputed("precomputed-gzip", U16, voxel_offset=[-10, 20, 3])
for chunk in (OUT / "precomputed-gzip").glob("*_*_*/*"):
    # As CloudVolume writes to a folder.
    chunk.with_name(chunk.name + ".gz").write_bytes(gzip.compress(chunk.read_bytes(), mtime=0))
    chunk.unlink()

# HDF5: the oldest and the newest format, each chunk index.
IN_UM = {"element_size_um": np.float32([0.05, 0.0046, 0.005])}
IN_NM = {"resolution": [50.0, 4.6, 5.0]}


def hdf5(name, data, libver="earliest", attributes=(), others=0, **more):
    with h5py.File(OUT / name, "w", libver=libver) as file:
        file["table"] = [[1, 2], [3, 4]]
        for i in range(others):
            file[f"value {i}"] = i
        dataset = file.create_dataset("data/volume", data=data, **more)
        for key, value in dict(attributes).items():
            dataset.attrs[key] = value


hdf5("contiguous-big-endian.h5", U16.astype(">u2"), attributes=IN_UM)
hdf5("chunked.h5", U16, chunks=(2, 8, 10), compression="gzip", shuffle=True, attributes=IN_NM)
hdf5("chunked-lzf-checked.h5", U8, chunks=(1, 8, 16), compression="lzf", fletcher32=True)
hdf5("one-chunk.h5", U8, "latest", chunks=U8.shape, compression="gzip")
hdf5("fixed-array.h5", U16, "v110", chunks=(1, 8, 10), compression="gzip", attributes={**{f"a{i}": i for i in range(12)}, **IN_NM})
hdf5("fixed-array-pages.h5", U8, "latest", chunks=(1, 2, 1), others=20)
hdf5("extensible-array.h5", U8, "latest", chunks=(1, 2, 2), maxshape=(None, 21, 34))
hdf5("b-tree-2.h5", U8[None], "latest", chunks=(1, 1, 4, 4), maxshape=(1, None, None, 34), fletcher32=True)
with h5py.File(OUT / "compact-links.h5", "w", libver="latest") as file:
    create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    create.set_layout(h5py.h5d.COMPACT)
    group = file.create_group("data")
    dataset = h5py.h5d.create(group.id, b"volume", h5py.h5t.NATIVE_UINT8, h5py.h5s.create_simple(U8.shape), create)
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, U8.copy())
    group["round"] = file
    file["again"] = group
    file["soft"] = h5py.SoftLink("data/./volume")
    file["here"], file["there"] = h5py.SoftLink("/there"), h5py.SoftLink("here")
    file["nowhere"], file["elsewhere"] = h5py.SoftLink("/absent"), h5py.ExternalLink("other.h5", "/volume")
with h5py.File(OUT / "two-volumes.h5", "w") as file:
    file["raw"], file["labels/neurons"] = U8, U16.astype(np.uint64)
    file["channels"], file["text"] = np.zeros((2, 3, 4, 5)), "text"
    file.create_dataset("outside", shape=U8.shape, dtype="u1", external=[("outside.raw", 0, U8.nbytes)])
    file.create_dataset("packed", data=U16, chunks=(3, 21, 34), scaleoffset=0)

# MRC.
with mrcfile.new(OUT / "big-endian-extended.mrc") as file:
    file.set_data(U16)
    file.voxel_size = (50.0, 46.0, 500.0)
    file.set_extended_header(np.zeros(100, np.uint8))
    header = file.header.astype(file.header.dtype.newbyteorder(">"))
    header["machst"] = [0x11, 0x11, 0, 0]
(OUT / "big-endian-extended.mrc").write_bytes(header.tobytes() + bytes(100) + U16.astype(">u2").tobytes())
with mrcfile.new(OUT / "imod-bytes.rec") as file:
    file.set_data(U8.view(np.int8))
content = bytearray((OUT / "imod-bytes.rec").read_bytes())
content[152:160] = np.array([1146047817, 0], "<i4").tobytes()
(OUT / "imod-bytes.rec").write_bytes(content)
