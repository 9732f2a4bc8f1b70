"""What panels do with widgets and texts of any kind."""

from contextlib import contextmanager

from slicer.i18n import tr as _


@contextmanager
def silenced(*widgets):
    """Meanwhile, these widgets tell nobody what happens to them."""
    for widget in widgets:
        widget.blockSignals(True)
    try:
        yield
    finally:
        for widget in widgets:
            widget.blockSignals(False)


def describeGrid(node):
    """Size and spacing of a volume node for people; empty for one without voxels."""
    image = node.GetImageData()
    if image is None:
        return ""
    size = " x ".join(str(count) for count in image.GetDimensions())
    spacing = " x ".join(f"{side:.4g}" for side in node.GetSpacing())
    return _("{size} voxels of {spacing} mm").format(size=size, spacing=spacing)
