"""What panels do with widgets and texts of any kind."""

from contextlib import contextmanager

from slicer.i18n import tr as _


def connectParameters(parameterNode, ui):
    """Tie every widget of a panel that names a parameter to that parameter.

    ``connectGui`` does the same, but in Slicer 5.12 and before it returns no tag to disconnect by, so that
    widgets would stay tied to the parameter nodes of closed scenes.

    Returns:
        Tag for ``parameterNode.disconnectGui``.
    """
    named = {widget.property("SlicerParameterName"): widget for widget in vars(ui).values()}
    return parameterNode.connectParametersToGui({name: widget for name, widget in named.items() if name})


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
