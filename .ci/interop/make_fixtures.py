"""Makes crates/volume/tests/fixtures: small files as other programs write them.

    pip install zarr tifffile imagecodecs pypng pillow numpy
    python .ci/interop/make_fixtures.py crates/volume/tests/fixtures

Voxel (z, y, x) is (37 z + 11 y + 5 x) mod 251, times 257 in 16 bits; `crates/volume/tests/fixtures.rs` computes the same.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import png
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
