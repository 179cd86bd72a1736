"""An image of real layers: the files of Debian packages that are installed here, one package a layer, compressed as layers are."""

import os
import stat
import subprocess

from oxtest.case import test_image

MIB = 1 << 20


def _packages():
    """(installed KiB, name), largest first."""
    listed = subprocess.run(["dpkg-query", "-W", "-f", "${Installed-Size} ${Package} ${Status}\n"], check=True,
                            stdout=subprocess.PIPE, text=True).stdout
    rows = [line.split() for line in listed.splitlines() if line.endswith(" installed")]
    return sorted(((int(row[0]), row[1]) for row in rows if row[0].isdigit()), reverse=True)


def _layer(package):
    layer = test_image.Layer(level=6)
    paths = subprocess.run(["dpkg", "-L", package], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    for path in sorted(paths):
        try:
            if stat.S_ISREG(os.lstat(path).st_mode):
                with open(path, "rb") as file:
                    layer.file(path.lstrip("/"), file.read())
        except (OSError, ValueError):  # a file that was removed since, a name that is too long for the format
            continue
    return layer.finish()


def build(layers, unpacked_mib):
    """`layers` packages of at most `unpacked_mib`: from the largest downwards."""
    image = test_image.Image()
    chosen = [name for size, name in _packages() if size <= unpacked_mib * 1024][:layers]
    parts = [_layer(name) for name in chosen]
    descriptors = []
    for data, _ in parts:
        image.layers.append(image.add_blob(data))
        descriptors.append({"mediaType": test_image.LAYER_TYPE, "digest": image.layers[-1], "size": len(data)})
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [d for _, d in parts]}}
    test_image.add_image(image, config, descriptors)
    return image, chosen
